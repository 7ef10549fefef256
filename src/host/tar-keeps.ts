/**
 * How tar holds everything that a file system holds, made and extracted alike: without the pattern only `user.*` comes back.
 * (GNU tar's manual, "Extended attributes" and "Sparse")
 */
export const tarKeeps = [
  '--acls',
  '--xattrs',
  '--xattrs-include=*',
  '--selinux',
  '--numeric-owner',
  '--sparse',
] as const;
