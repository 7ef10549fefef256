// Feature packages made byte by byte, that lie in any way and are signed all the same.
import { sha256 } from '../../src/packages/manifest.ts';
import { sign } from '../../src/packages/signature.ts';
import { type RawEntry, rawZip } from '../packages/zip-bytes.ts';
import { testKey } from './fixture-packages.ts';

const program = '#!/bin/sh\nexit 0\n';
export const plainManifest = {
  kind: 'cmsadm-feature-package',
  name: 'hostile',
  title: 'Hostile',
  version: '1.0.0',
  needs: {},
  licenceFeature: null,
  runsOn: 'both',
  onBothWhen: null,
  units: [{ name: 'cmsadm-pkg-hostile.service', starts: true }],
  hooks: { install: { file: 'bin/program', seconds: 5 } },
  settings: [],
};

const contents: Readonly<Record<string, string>> = {
  'bin/program': program,
  'units/cmsadm-pkg-hostile.service': '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n',
};

type Listed = { path: string; size: number; sha256: string; mode: string };
export const listed = (path: string, content: string | Buffer, mode = '0644'): Listed => ({
  path,
  size: Buffer.from(content).length,
  sha256: sha256(Buffer.from(content)),
  mode,
});

export const plainFiles: readonly Listed[] = Object.entries(contents).map(([path, text]) =>
  listed(path, text, path.startsWith('bin/') ? '0755' : '0644'),
);
export const plainEntries: readonly RawEntry[] = Object.entries(contents).map(([name, text]) => ({
  name,
  data: Buffer.from(text),
}));

export type Lies = {
  /** Keys of the manifest. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Instead of the manifest that was made. */
  readonly text?: string;
  readonly entries?: readonly RawEntry[];
  /** Entries that come with the plain ones. */
  readonly more?: readonly RawEntry[];
  readonly key?: string;
  readonly signature?: Buffer | null;
};

/** A zip of a feature package that is right but for its lies. */
export function signedZip({
  manifest = {},
  text,
  entries = plainEntries,
  more = [],
  key = testKey,
  signature,
}: Lies): Buffer {
  const main = Buffer.from(text ?? JSON.stringify({ ...plainManifest, files: plainFiles, ...manifest }));
  const signed = signature === undefined ? Buffer.from(JSON.stringify(sign(main, key))) : signature;
  return rawZip([
    { name: 'manifest.json', data: main },
    ...(signed === null ? [] : [{ name: 'manifest.sig', data: signed }]),
    ...entries,
    ...more,
  ]);
}
