import { describe, expect, test } from 'vitest';
import { type AcdAccess, accessWithout, editAccess } from '../../src/acd/access.ts';
import { CmsadmError } from '../../src/errors.ts';

const access: AcdAccess = {
  users: {
    anna: { acd: 3 },
    ben: { acd: 1 },
    carol: { acd: 3, tenant: 'both' },
    dora: { acd: 3, tenant: 'only' },
    emil: { acd: 3, tenant: 'other' },
    fay: { acd: null, tenant: 'only' },
  },
  tenants: { both: [1, 3], only: [3], other: [2, 3], away: [2] },
  groups: { west: [1, 2] },
};

describe('when an ACD goes', () => {
  test('its users go to the master, or where their tenant still has an ACD; who has none left cannot get in', () => {
    expect(accessWithout(access, 3, 1)).toEqual({
      users: [
        { name: 'anna', to: 1 },
        { name: 'carol', tenant: 'both', to: 1 },
        { name: 'dora', tenant: 'only', to: null },
        { name: 'emil', tenant: 'other', to: 2 },
      ],
      tenants: [
        { name: 'both', left: [1] },
        { name: 'only', left: [] },
        { name: 'other', left: [2] },
      ],
    });
  });

  test('it must be in no group', () => {
    expect(() => accessWithout(access, 2, 1)).toThrow(CmsadmError);
  });

  test('the file keeps its comments, its order and its other lines', () => {
    const text = [
      '# who works with what (Z\xc3\xbcrich)',
      'users:',
      '  # the first',
      '  anna: { acd: 3 } # since May',
      '  ben: { acd: 1 }',
      '',
      'tenants:',
      '  only: [3]',
      '',
    ].join('\n');
    const edited = editAccess(text, { users: [{ name: 'anna', to: 1 }], tenants: [{ name: 'only', left: [] }] });
    expect(edited).toBe(text.replace('anna: { acd: 3 }', 'anna: { acd: 1 }').replace('only: [3]', 'only: []'));
    expect(editAccess(text, { users: [], tenants: [] })).toBe(text);
  });
});
