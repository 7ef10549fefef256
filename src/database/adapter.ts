/** What a database tells of who may connect. Names are as it has them. */
export type Grants = {
  /** The privileges of PUBLIC, highest first as they have to be revoked; none: only who is named may connect. */
  readonly public: readonly string[];
  /** Users with the right to connect and no higher one. */
  readonly users: readonly string[];
  /** Users who connect by a higher right of their own. */
  readonly higher: readonly string[];
  /** The users that the database knows; undefined where it takes those of the system. */
  readonly known: readonly string[] | undefined;
};

/** One kind of database: texts only. `name` is the database's, checked by the profile's schema. */
export type Adapter = {
  /** The arguments of its program, which takes statements on standard input and ends at the first that fails. */
  readonly args: (name: string) => readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly query: string;
  readonly readGrants: (output: string) => Grants;
  /** @param to quoted names, or PUBLIC */
  readonly grant: (name: string, to: string) => string;
  readonly revoke: (name: string, privilege: string, from: string) => string;
  readonly begin: string;
  readonly commit: string;
};
