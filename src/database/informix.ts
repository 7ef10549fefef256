/**
 * Informix: who may connect stands in the system table sysusers, by usertype: C connect, R resource, D dba; users are those
 * of the system. Its program DB-Access takes statements on standard input (`dbaccess DATABASE -`).
 */
import type { Adapter } from './adapter.ts';

// DB-Access prints a table or a list of columns, as it finds room: the rows are found by their first word in both.
const query = `SELECT 'grant=' || TRIM(username) || '=' || usertype FROM sysusers WHERE usertype IN ('C', 'R', 'D');\n`;

const higher: Readonly<Record<string, readonly string[]>> = {
  C: ['CONNECT'],
  // Who loses one of these is left with CONNECT.
  R: ['RESOURCE', 'CONNECT'],
  D: ['DBA', 'CONNECT'],
};

export const informix: Adapter = {
  args: (name) => [name, '-'],
  // Ends at the first error, and takes back what the open transaction did.
  environment: { DBACCNOIGN: '1' },
  query,
  readGrants: (output) => {
    const rows = [...output.matchAll(/(?:^|\s)grant=([^=\s]+)=([CRD])(?=\s|$)/g)].map(([, name = '', type = '']) => ({
      name,
      type,
    }));
    const users = rows.filter(({ name }) => name.toLowerCase() !== 'public');
    const everybody = rows.find(({ name }) => name.toLowerCase() === 'public');
    const names = (some: typeof rows): string[] => some.map(({ name }) => name).sort();
    return {
      public: everybody ? (higher[everybody.type] ?? []) : [],
      users: names(users.filter(({ type }) => type === 'C')),
      higher: names(users.filter(({ type }) => type !== 'C')),
      known: undefined,
    };
  },
  grant: (_name, to) => `GRANT CONNECT TO ${to};`,
  revoke: (_name, privilege, from) => `REVOKE ${privilege} FROM ${from};`,
  begin: 'BEGIN WORK;',
  commit: 'COMMIT WORK;',
};
