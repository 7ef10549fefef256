/** PostgreSQL: who may connect is the privilege CONNECT of the database; without an access list everybody may. */
import type { Adapter } from './adapter.ts';

// Names come as hex: whatever a role is called, it is one word of one line.
const query = `SELECT 'grant ' || CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE encode(convert_to(pg_get_userbyid(acl.grantee), 'UTF8'), 'hex') END
  FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS acl
  WHERE d.datname = current_database() AND acl.privilege_type = 'CONNECT' AND acl.grantee <> d.datdba;
SELECT 'owner ' || encode(convert_to(pg_get_userbyid(datdba), 'UTF8'), 'hex') FROM pg_database WHERE datname = current_database();
SELECT 'role ' || encode(convert_to(rolname, 'UTF8'), 'hex') || CASE WHEN rolsuper THEN ' higher' ELSE '' END FROM pg_roles;
`;

const named = (hex: string): string => Buffer.from(hex, 'hex').toString('utf8');

export const postgresql: Adapter = {
  args: (name) => [
    ...['--no-psqlrc', '--quiet', '--no-align', '--tuples-only', '--set=ON_ERROR_STOP=1'],
    ...[`--dbname=${name}`, '--file=-'],
  ],
  environment: { PGCLIENTENCODING: 'UTF8' },
  query,
  readGrants: (output) => {
    const all = (pattern: RegExp): string[] => [...output.matchAll(pattern)].map(([, hex = '']) => named(hex));
    return {
      public: /^grant PUBLIC$/m.test(output) ? ['CONNECT'] : [],
      users: [...new Set(all(/^grant ((?:[0-9a-f]{2})+)$/gm))].sort(),
      higher: [
        ...new Set([...all(/^owner ((?:[0-9a-f]{2})+)$/gm), ...all(/^role ((?:[0-9a-f]{2})+) higher$/gm)]),
      ].sort(),
      known: all(/^role ((?:[0-9a-f]{2})+)(?: higher)?$/gm),
    };
  },
  grant: (name, to) => `GRANT CONNECT ON DATABASE "${name}" TO ${to};`,
  revoke: (name, privilege, from) => `REVOKE ${privilege} ON DATABASE "${name}" FROM ${from};`,
  begin: 'BEGIN;',
  commit: 'COMMIT;',
};
