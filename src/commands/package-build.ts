import { readFileSync } from 'node:fs';
import { CmsadmError, exitCodes } from '../errors.ts';
import { at } from '../host/root.ts';
import { prepareFeaturePackage } from '../packages/build-feature-package.ts';
import { readFeaturePackage } from '../packages/feature-package.ts';
import { checkFile } from './checks.ts';
import { type CommandContext, type CommandOutcome, type Given, settleAnswers, usage } from './context.ts';
import { packagingParameters } from './parameters.ts';

const asGiven = (typed: string): string => {
  if (typed.trim() !== '') return typed.trim();
  throw usage('Nothing was given.', 'Give a path.');
};

/**
 * `cmsadm package build DIR`: makes a signed feature package of a folder with package.yaml and files/.
 * @throws CmsadmError package-source-refused, signing-key-unusable, package-out-refused
 */
export async function packageBuild(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, report } = context;
  const { folder, key, out } = packagingParameters;
  const answers = await settleAnswers(
    [
      { parameter: folder, check: asGiven },
      { parameter: key, check: (typed) => checkFile(host.root, typed) && typed },
      { parameter: out, check: asGiven },
    ],
    given,
    context,
  );
  const from = at(host.root, answers[folder.name] ?? '');
  const prepared = await prepareFeaturePackage(from, readFileSync(at(host.root, answers[key.name] ?? ''), 'utf8'));
  const { name, version, title, files } = prepared.manifest;
  const zip = answers[out.name] ?? '';
  const told = { package: { name, title, version }, files: files.map(({ path }) => path), out: zip };
  for (const { path, mode, size } of files) report.line(`  ${mode} ${path}, ${size} bytes`);
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `package build: dry run, ${name} ${version}`,
      result: { outcome: 'pending', ...told },
    };
  const size = await written(() => prepared.write(at(host.root, zip)), zip);
  report.line(`${title} ${version}: ${zip}, ${size} bytes.`);
  return {
    exitCode: exitCodes.done,
    summary: `package build: ${name} ${version} in ${zip}`,
    result: { outcome: 'done', ...told, size },
  };
}

async function written(write: () => Promise<number>, file: string): Promise<number> {
  try {
    return await write();
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause)) throw cause;
    throw new CmsadmError('package-out-refused', `The package can’t be written (${String(cause.code)}).`, {
      file,
      cause,
      remedy: 'Give --out a file in a folder that is there and may be written.',
    });
  }
}

/** `cmsadm package check FILE`: opens a package as pkg_install would, and says what it is. */
export async function packageCheck(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile, report } = context;
  const { file } = packagingParameters;
  const answers = await settleAnswers([{ parameter: file, check: asGiven }], given, context);
  const path = checkFile(host.root, answers[file.name] ?? '');
  const { manifest, signer, digest, size } = await readFeaturePackage(path, profile.trust);
  const { name, title, version, licenceFeature, runsOn } = manifest;
  report.line(`${title} (${name}) ${version}, signed by ${signer}, ${size} bytes.`);
  report.line(`Licence feature: ${licenceFeature ?? 'none'}. Runs on: ${runsOn}.`);
  return {
    exitCode: exitCodes.done,
    summary: `package check: ${name} ${version}`,
    result: { outcome: 'checked', package: { name, title, version, digest, signer }, licenceFeature, runsOn },
  };
}
