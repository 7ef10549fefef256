import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { planAccess } from '../../src/database/access-plan.ts';
import type { AccessRecord } from '../../src/database/access-record.ts';
import type { Grants } from '../../src/database/adapter.ts';
import { informix } from '../../src/database/informix.ts';
import { quotedName, whyNoName } from '../../src/database/names.ts';
import { postgresql } from '../../src/database/postgresql.ts';
import type { WantedAccess } from '../../src/database/wanted-access.ts';

const grants = (more: Partial<Grants> = {}): Grants => ({
  ...{ public: ['CONNECT'], users: [], higher: ['postgres'], known: undefined },
  ...more,
});
const restricted = (...members: string[]): WantedAccess => ({ access: 'restricted', members });
const everybody: WantedAccess = { access: 'public', members: [] };

describe('the statements of database access', () => {
  it('take the right from PUBLIC and give it to each member by name, in one transaction', () => {
    expect(planAccess(postgresql, 'cms', grants(), undefined, restricted('anna', 'ben.b'))).toMatchObject({
      statements: [
        'BEGIN;',
        'REVOKE CONNECT ON DATABASE "cms" FROM PUBLIC;',
        'GRANT CONNECT ON DATABASE "cms" TO "anna";',
        'GRANT CONNECT ON DATABASE "cms" TO "ben.b";',
        'COMMIT;',
      ],
      after: { public: true, granted: ['anna', 'ben.b'] },
    });
    const higher = grants({ public: ['RESOURCE', 'CONNECT'] });
    expect(planAccess(informix, 'cms', higher, undefined, restricted('anna')).statements).toEqual([
      ...['BEGIN WORK;', 'REVOKE RESOURCE FROM PUBLIC;', 'REVOKE CONNECT FROM PUBLIC;', 'GRANT CONNECT TO "anna";'],
      'COMMIT WORK;',
    ]);
  });

  it('are none where the grants are as wanted', () => {
    const now = grants({ public: [], users: ['anna'] });
    expect(
      planAccess(informix, 'cms', now, { public: true, granted: ['anna'] }, restricted('anna')).statements,
    ).toEqual([]);
    expect(planAccess(informix, 'cms', grants(), undefined, everybody).statements).toEqual([]);
  });

  it('leave who has a higher right alone, wait for who is not known, and tell whose grant is somebody else’s', () => {
    const now = grants({ public: [], users: ['carol'], higher: ['dba'], known: ['carol', 'dba', 'anna'] });
    expect(planAccess(postgresql, 'cms', now, undefined, restricted('anna', 'dba', 'emil'))).toMatchObject({
      statements: ['BEGIN;', 'GRANT CONNECT ON DATABASE "cms" TO "anna";', 'COMMIT;'],
      unknown: ['emil'],
      others: ['carol'],
    });
  });

  it('revoke only what was granted here', () => {
    const now = grants({ public: [], users: ['anna', 'ben', 'carol'] });
    const record = { public: true, granted: ['anna', 'ben'] };
    expect(planAccess(informix, 'cms', now, record, restricted('anna')).statements).toEqual([
      ...['BEGIN WORK;', 'REVOKE CONNECT FROM "ben";', 'COMMIT WORK;'],
    ]);
    expect(planAccess(informix, 'cms', now, record, everybody)).toMatchObject({
      statements: [
        ...['BEGIN WORK;', 'GRANT CONNECT TO PUBLIC;', 'REVOKE CONNECT FROM "anna";', 'REVOKE CONNECT FROM "ben";'],
        'COMMIT WORK;',
      ],
      after: { public: true, granted: [] },
    });
  });

  it('without a decision lead back to what was before the first one', () => {
    const now = grants({ public: [], users: ['anna'] });
    const back = planAccess(informix, 'cms', now, { public: false, granted: ['anna'] }, undefined);
    expect(back.statements).toEqual(['BEGIN WORK;', 'REVOKE CONNECT FROM "anna";', 'COMMIT WORK;']);
    expect(back.after).toBeUndefined();
  });

  test('reach what is wanted and lose no grant of others, wherever earlier runs were killed', () => {
    const names = ['anna', 'ben', 'carol'];
    const wish = fc.oneof(
      fc.constant(everybody),
      fc.subarray(names).map((members): WantedAccess => restricted(...members)),
    );
    const step = fc.tuple(wish, fc.integer({ min: 0, max: 3 }));
    fc.assert(
      fc.property(
        fc.subarray(names),
        fc.boolean(),
        fc.array(step, { maxLength: 8 }),
        wish,
        (others, open, steps, last) => {
          let users = new Set(others);
          let isPublic = open;
          let record: AccessRecord | undefined;
          const apply = (wanted: WantedAccess | undefined, writes: number): void => {
            const now = grants({ public: isPublic ? ['CONNECT'] : [], users: [...users] });
            const plan = planAccess(informix, 'cms', now, record, wanted);
            const transaction = (): void => {
              users = new Set(users);
              for (const one of plan.statements) {
                const [, verb, name = ''] = /^(GRANT|REVOKE) CONNECT (?:TO|FROM) "?(\w+)"?;$/.exec(one) ?? [];
                if (name === 'PUBLIC') isPublic = verb === 'GRANT';
                else if (verb === 'GRANT') users.add(name);
                else if (verb === 'REVOKE') expect(users.delete(name), one).toBe(true);
              }
            };
            const work = [
              () => {
                record = plan.during;
              },
              transaction,
              () => {
                record = plan.after;
              },
            ];
            for (const write of work.slice(0, writes)) write();
          };
          for (const [wanted, writes] of steps) apply(wanted, writes);
          apply(last, 3);
          expect(isPublic).toBe(last.access === 'public');
          expect([...users].sort()).toEqual([...new Set([...others, ...last.members])].sort());
          apply(undefined, 3);
          expect([...users].sort()).toEqual([...others].sort());
          expect(isPublic).toBe(open);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('a name', () => {
  it.each([
    '',
    'a"b',
    "a'b",
    'a b',
    'a;b',
    'a\n',
    '-a',
    '1a',
    'ä',
    '$(id)',
    'public',
    'PUBLIC',
    'None',
    'x'.repeat(33),
  ])('%j gets into no statement', (name) => {
    expect(whyNoName(name)).toBeDefined();
    expect(() => quotedName(name)).toThrow('gets into no statement');
  });

  test('of any text is refused, or in quotes that it can’t end', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        if (whyNoName(name) === undefined) expect(quotedName(name)).toMatch(/^"[A-Za-z0-9_.-]+"$/);
      }),
    );
  });
});

describe('the grants', () => {
  it('of Informix are found in a table and in a list of columns', () => {
    const rows = ['grant=public=R', 'grant=informix=D', 'grant=anna=C'];
    const table = `\n\n(expression)\n\n${rows.join('\n')}\n\n3 row(s) retrieved.\n`;
    const list = rows.map((row) => `\n\n(expression)  ${row} \n`).join('');
    for (const output of [table, list])
      expect(informix.readGrants(output)).toEqual({
        ...{ public: ['RESOURCE', 'CONNECT'], users: ['anna'], higher: ['informix'] },
        known: undefined,
      });
    expect(informix.readGrants('\nNo rows found.\n')).toMatchObject({ public: [], users: [] });
  });

  it('of PostgreSQL are read whatever a role is called', () => {
    const hex = (name: string): string => Buffer.from(name).toString('hex');
    const evil = 'x\ngrant PUBLIC';
    const output = [
      `grant ${hex('anna')}`,
      `grant ${hex(evil)}`,
      `owner ${hex('postgres')}`,
      `role ${hex('anna')}`,
      `role ${hex('root')} higher`,
      `role ${hex(evil)}`,
    ].join('\n');
    expect(postgresql.readGrants(output)).toEqual({
      ...{ public: [], users: ['anna', evil], higher: ['postgres', 'root'], known: ['anna', 'root', evil] },
    });
    expect(postgresql.readGrants(`grant PUBLIC\n${output}`).public).toEqual(['CONNECT']);
  });
});
