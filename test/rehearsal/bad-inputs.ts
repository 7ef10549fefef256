// What may be wrong with the input of set up.
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandContext, Given } from '../../src/commands/context.ts';
import { makeKeyPair } from '../../src/host/pair-key.ts';
import { bootId, processStart } from '../../src/host/process-table.ts';
import { buildLicence } from '../../src/licence/build-licence.ts';
import { writeZip } from '../../src/packages/archive.ts';
import { answering, type RehearsalPair } from './pair.ts';

const signingKey = fileURLToPath(new URL('../../fixtures/keys/test-signing.pem', import.meta.url));

const replace = (file: string, pattern: RegExp | string, by: string): void =>
  writeFileSync(file, readFileSync(file, 'utf8').replace(pattern, by));
const put = (file: string, text: string): void => {
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
};

/** A licence at /root/other.zip of cms1; its package takes the place of the right one. */
async function licence(
  pair: RehearsalPair,
  change: { expires?: string; feature?: string; key?: string },
): Promise<void> {
  await buildLicence({
    licence: {
      serial: 'T-1',
      holder: 'Tester',
      product: 'cms',
      issued: '2020-01-01',
      expires: change.expires ?? 'never',
      features: { [change.feature ?? 'OT_CONN']: { name: 'a feature', count: 1 } },
    },
    privateKeyPem: change.key ?? readFileSync(signingKey, 'utf8'),
    out: join(pair.cms1, 'root/other.zip'),
  });
}

const otherKey = generateKeyPairSync('ed25519', {
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
}).privateKey;

export type BadInput = {
  readonly name: string;
  readonly prepare?: (pair: RehearsalPair) => void | Promise<void>;
  readonly given?: Given;
  readonly more?: Partial<CommandContext>;
  readonly code: string;
  /** What message, details and remedy together must say. */
  readonly says: readonly (string | RegExp)[];
};

const licenceCase = { given: { 'licence-package': '/root/other.zip' }, code: 'answers-refused' };
const packageCase = { given: { 'ha-package': '/root/other.zip' }, code: 'answers-refused' };

/** What an operator may get wrong, one thing in each case; the rest of the pair is right. */
export const badInputs: readonly BadInput[] = [
  { name: 'a wrong address', given: { 'secondary-ip': '192.0.2.99' }, code: 'unreachable', says: ['192.0.2.99'] },
  {
    name: 'a wrong FQDN',
    given: { 'secondary-fqdn': 'cms3.example.com' },
    code: 'preflight-failed',
    says: ['calls itself cms2, not cms3'],
  },
  {
    name: 'this server’s own address',
    given: { 'secondary-ip': '192.0.2.11' },
    code: 'answers-refused',
    says: ['--secondary-ip', '192.0.2.11 is this server itself'],
  },
  {
    name: 'this server’s own name, in capitals',
    given: { 'secondary-fqdn': 'CMS1.Example.COM' },
    code: 'answers-refused',
    says: ['--secondary-fqdn', 'cms1.example.com is this server itself'],
  },
  {
    name: 'a jump host',
    given: { 'jump-host': 'gate.example.com' },
    code: 'usage',
    says: ['jump host', 'directly'],
  },
  {
    name: 'a host key that nobody vouched for',
    given: { 'peer-fingerprint': undefined },
    code: 'usage',
    says: ['--peer-fingerprint'],
  },
  {
    name: 'a host key that the operator does not accept',
    given: { 'peer-fingerprint': undefined },
    more: { ask: answering({ 'Accept this host key?': 'n' }) },
    code: 'host-key-unknown',
    says: ['not accepted', 'nothing was touched'],
  },
  {
    name: 'another fingerprint',
    given: { 'peer-fingerprint': `SHA256:${'A'.repeat(43)}` },
    code: 'host-key-unknown',
    says: [/shown: ssh-ed25519 SHA256:/, 'Nothing was sent'],
  },
  {
    name: 'a host key that is not the one of known_hosts',
    prepare: ({ cms1 }) => put(join(cms1, 'root/.ssh/known_hosts'), `192.0.2.12 ${makeKeyPair('old').publicLine}`),
    given: { 'peer-fingerprint': undefined },
    code: 'host-key-changed',
    says: ['192.0.2.12', 'another host key', 'Nothing was sent'],
  },
  {
    name: 'a host key that is not the one of known_hosts, with its fingerprint given',
    prepare: ({ cms1 }) =>
      put(join(cms1, 'root/.ssh/known_hosts'), `cms2.example.com ${makeKeyPair('old').publicLine}`),
    code: 'host-key-unknown',
    says: ['known_hosts', 'Nothing was sent'],
  },
  {
    name: 'a wrong password in the file',
    prepare: ({ cms1 }) => writeFileSync(join(cms1, 'root/peer-password'), 'wrong\n'),
    code: 'login-refused',
    says: ['192.0.2.12', 'operator'],
  },
  {
    name: 'a wrong password typed three times',
    given: { 'peer-password-file': undefined },
    more: { ask: answering({ 'Password of operator': ['a', 'b', 'c', 'practice'] }) },
    code: 'login-refused',
    says: ['three times', 'Nothing was touched'],
  },
  {
    name: 'nothing to log in with',
    given: { 'peer-password-file': undefined },
    code: 'usage',
    says: ['--peer-password-file'],
  },
  {
    name: 'a user whom the peer does not know',
    given: { 'peer-user': 'guest' },
    code: 'login-refused',
    says: ['192.0.2.12', 'guest'],
  },
  { name: 'no such licence', ...licenceCase, says: ['--licence-package', '/root/other.zip', 'cannot be read'] },
  {
    name: 'a licence that is no zip',
    prepare: ({ cms1 }) => writeFileSync(join(cms1, 'root/other.zip'), 'no zip'),
    ...licenceCase,
    says: ['--licence-package'],
  },
  {
    name: 'the HA package as licence',
    given: { 'licence-package': '/root/HAcms.zip' },
    code: 'answers-refused',
    says: ['--licence-package'],
  },
  {
    name: 'a licence without the feature',
    prepare: (pair) => licence(pair, { feature: 'OTHER' }),
    ...licenceCase,
    says: ['does not hold OT_CONN'],
  },
  {
    name: 'a licence that has ended',
    prepare: (pair) => licence(pair, { expires: '2021-01-01' }),
    ...licenceCase,
    says: ['ended on 2021-01-01'],
  },
  {
    name: 'a licence signed by somebody else',
    prepare: (pair) => licence(pair, { key: otherKey }),
    ...licenceCase,
    says: ['not accepted'],
  },
  { name: 'no such HA package', ...packageCase, says: ['--ha-package', 'cannot be read'] },
  {
    name: 'a truncated HA package',
    prepare: ({ cms1 }) => truncateSync(join(cms1, 'root/HAcms.zip'), 3000),
    code: 'answers-refused',
    says: ['--ha-package'],
  },
  {
    name: 'a zip of something else',
    prepare: ({ cms1 }) =>
      writeZip(join(cms1, 'root/other.zip'), [{ name: 'a.txt', data: Buffer.from('a'), mode: 0o644 }]).then(() => {}),
    ...packageCase,
    says: ['--ha-package'],
  },
  {
    name: 'the licence as HA package',
    given: { 'ha-package': '/root/licence.zip' },
    code: 'answers-refused',
    says: ['--ha-package'],
  },
  {
    name: 'another release on the peer',
    prepare: ({ cms2 }) => put(join(cms2, 'cms/install/release'), 'RELEASE=20.1\nLOAD=20.1.0.4\n'),
    code: 'preflight-failed',
    says: ['21.0', '20.1'],
  },
  {
    name: 'a managed file that is a link',
    prepare: ({ cms2 }) => {
      unlinkSync(join(cms2, 'etc/hosts'));
      symlinkSync('/etc/hostname', join(cms2, 'etc/hosts'));
    },
    code: 'preflight-failed',
    says: ['cms2.example.com', '/etc/hosts is a link to /etc/hostname'],
  },
  {
    name: 'hosts files that contradict the pair',
    prepare: ({ cms1 }) =>
      put(join(cms1, 'etc/hosts'), '192.0.2.11 cms1.example.com\n192.0.2.77 cms2.example.com cms2\n'),
    code: 'preflight-failed',
    says: ['cms1.example.com', 'cms2.example.com has the address 192.0.2.77, not 192.0.2.12'],
  },
  {
    name: 'a service name that another port has',
    prepare: ({ cms2 }) => put(join(cms2, 'etc/services'), 'cms_ids 7000/tcp\n'),
    code: 'preflight-failed',
    says: ['cms2.example.com', 'cms_ids'],
  },
  {
    name: 'a port that is taken',
    prepare: ({ cms2 }) => replace(`${cms2}.yaml`, 'port: 6800', 'port: 6812'),
    code: 'preflight-failed',
    says: ['cms2.example.com', 'Taken: 6812/tcp'],
  },
  {
    name: 'no room on the peer',
    prepare: ({ cms2 }) => replace(`${cms2}.yaml`, 'freeMb: 120000', 'freeMb: 12'),
    code: 'preflight-failed',
    says: ['cms2.example.com', 'Only 12 MB free'],
  },
  {
    name: 'a peer that is linked with another server',
    prepare: ({ cms2 }) => {
      const [type, base64] = makeKeyPair('third').publicLine.split(' ');
      const peer = { address: '192.0.2.33', fqdn: 'cms9.example.com', hostname: 'cms9', port: 22 };
      const self = { address: '192.0.2.12', fqdn: 'cms2.example.com', hostname: 'cms2' };
      const link = { self, peer: { ...peer, hostKeys: [{ type, base64 }] }, tag: 'zdt_1_1700000000' };
      put(join(cms2, 'var/lib/cmsadm/link.json'), JSON.stringify({ ...link, broughtProgram: false, broughtFiles: [] }));
    },
    code: 'third-server',
    says: ['cms2.example.com is linked with cms9.example.com'],
  },
  {
    name: 'an earlier change of the peer that is not settled',
    prepare: ({ cms2 }) => {
      const manifest = {
        ...{ operation: 'set up roles', operator: 'ops', server: 'cms2.example.com', tag: 'zdt_1_1700000000' },
        ...{ step: 'change', part: 'peer', at: '2026-01-01T00:00:00Z', files: [], madeFolders: [] },
        services: { reload: [], restart: [], enable: [], start: [], stop: [], affecting: [], seconds: 1 },
        afterwards: { removeFiles: [], disableUnits: [], removeProgram: false },
      };
      put(join(cms2, 'var/lib/cmsadm/journal/zdt_1_1700000000.change.jsonl'), `${JSON.stringify(manifest)}\n`);
    },
    code: 'preflight-failed',
    says: ['cms2.example.com', 'zdt_1_1700000000.change'],
  },
  {
    name: 'a second operator at the same time',
    prepare: ({ cms2 }) =>
      put(
        join(cms2, 'run/cmsadm/lock'),
        JSON.stringify({
          ...{ operation: 'reverse roles', operator: 'anna', startedOn: 'cms2.example.com' },
          ...{
            since: '2026-01-01T00:00:00Z',
            pid: process.pid,
            processStart: processStart(process.pid),
            bootId: bootId(),
          },
        }),
      ),
    code: 'preflight-failed',
    says: ['cms2.example.com', 'anna', 'reverse roles', '2026-01-01'],
  },
];
