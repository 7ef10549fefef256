/** The manifest of a feature package: what it is, needs, brings, runs and asks. Its bytes are what is signed. */
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { printable } from '../printable.ts';
import { digestText, versionText } from './manifest.ts';
import { label, type Settings, settingName, settingSchema } from './setting.ts';

/** Also the name of a folder, and part of the names of units: no `-`, which parts name and rest there. */
export const packageName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_]{0,31}$/u));

const pathPart = '[A-Za-z0-9_][A-Za-z0-9._+@-]{0,79}';
/** Relative, plain, at most eight parts; `.edited` is ours. */
const filePath = v.pipe(
  v.string(),
  v.maxLength(200),
  v.regex(new RegExp(`^${pathPart}(?:/${pathPart}){0,7}$`, 'u')),
  v.check((path) => !/^manifest\.(?:json|sig)$/iu.test(path) && !path.endsWith('.edited')),
);
const seconds = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(120));
/** A program among the files, and the longest time that it may take. */
const hook = v.strictObject({ file: filePath, seconds });

const unit = v.strictObject({
  /** The file `units/<name>`; it becomes /etc/systemd/system/<name>. */
  name: v.pipe(v.string(), v.regex(/^cmsadm-pkg-[a-z0-9_]+(?:-[a-z0-9]+)?\.(?:service|timer)$/u)),
  /** False for what something else starts, such as a timer's service. */
  starts: v.boolean(),
});

const roles = ['primary', 'secondary', 'both'] as const;

const head = {
  name: packageName,
  title: label,
  version: versionText,
  needs: v.strictObject({
    /** The lowest version of cmsadm. */
    cmsadm: v.optional(versionText),
    packages: v.optional(
      v.pipe(v.array(v.strictObject({ name: packageName, atLeast: versionText })), v.maxLength(20)),
      [],
    ),
  }),
  /** The code of the licence feature that it takes; null for a package that is free. */
  licenceFeature: v.nullable(v.pipe(v.string(), v.regex(/^[A-Z][A-Z0-9_]{0,63}$/u))),
  /** On which server of a pair its units run. */
  runsOn: v.picklist(roles),
  /** The yes-no setting that has them run on both. */
  onBothWhen: v.nullable(settingName),
  units: v.pipe(v.array(unit), v.maxLength(20)),
  /** `install` before a version comes into use, `settings` after they changed, `remove` before it goes. */
  hooks: v.strictObject({ install: v.optional(hook), settings: v.optional(hook), remove: v.optional(hook) }),
  settings: v.pipe(v.array(settingSchema), v.maxLength(50)),
} as const;

const fileSchema = v.strictObject({
  path: filePath,
  size: v.pipe(v.number(), v.integer(), v.minValue(0)),
  sha256: digestText,
  mode: v.picklist(['0644', '0755', '0600', '0700']),
});

const manifestSchema = v.pipe(
  v.strictObject({
    kind: v.literal('cmsadm-feature-package'),
    ...head,
    files: v.pipe(v.array(fileSchema), v.minLength(1), v.maxLength(990)),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (dataset.typed) for (const message of contradictions(dataset.value)) addIssue({ message });
  }),
);

/** What a packager writes by hand, in package.yaml; the files are found. */
export const packageSource = v.strictObject(head);
export type PackageSource = v.InferOutput<typeof packageSource>;

export type FeatureManifest = v.InferOutput<typeof manifestSchema>;
export { manifestSchema as featureManifestSchema };

function contradictions(manifest: FeatureManifest): string[] {
  const { name, files, units, hooks, settings, onBothWhen, needs } = manifest;
  const paths = files.map(({ path }) => path.toLowerCase());
  const modes = new Map(files.map(({ path, mode }) => [path, mode]));
  return [
    ...twice(paths).map((path) => `files: ${path} is there twice`),
    ...paths
      .filter((path) => paths.some((other) => other.startsWith(`${path}/`)))
      .map((path) => `files: ${path} is a file and a folder`),
    ...twice(units.map((one) => one.name)).map((one) => `units: ${one} is there twice`),
    ...units.flatMap((one) => [
      ...(ownUnit(name, one.name) ? [] : [`units: ${one.name} has another package's name`]),
      ...(modes.has(`units/${one.name}`) ? [] : [`units: units/${one.name} is none of the files`]),
    ]),
    ...Object.entries(hooks).flatMap(([event, one]) =>
      one === undefined || ['0755', '0700'].includes(modes.get(one.file) ?? '')
        ? []
        : [`hooks: ${one.file} (${event}) is no program among the files`],
    ),
    ...twice(settings.map((one) => one.name)).map((one) => `settings: ${one} is there twice`),
    ...(onBothWhen === null || settings.some((one) => one.name === onBothWhen && one.kind === 'yes-no')
      ? []
      : [`onBothWhen: ${onBothWhen} is no yes-no setting`]),
    ...(needs.packages.some((one) => one.name === name) ? ['needs: it needs itself'] : []),
  ];
}

const twice = (names: readonly string[]): string[] => [
  ...new Set(names.filter((name, index) => names.indexOf(name) !== index)),
];
const ownUnit = (name: string, unit: string): boolean => new RegExp(`^cmsadm-pkg-${name}[-.]`, 'u').test(unit);

/** The manifest as written into the package. @throws CmsadmError package-source-refused with every fault */
export function printFeatureManifest(manifest: FeatureManifest, file: string): Buffer {
  const found = v.safeParse(manifestSchema, manifest);
  if (found.success) return Buffer.from(`${JSON.stringify(found.output, null, 2)}\n`);
  throw new CmsadmError('package-source-refused', 'No feature package can be made of this.', {
    file,
    details: faultsOf(found.issues),
    remedy: 'Correct package.yaml and the files; docs/administration.md, "pkg_install", shows their form.',
  });
}

/** A manifest's text → the manifest, or all that is wrong with it. */
export function parseFeatureManifest(text: string): FeatureManifest | { readonly faults: readonly string[] } {
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), manifestSchema), text);
  return found.success ? found.output : { faults: faultsOf(found.issues) };
}

/** Issues of a schema as lines, not at any length. */
export const faultsOf = (issues: readonly v.BaseIssue<unknown>[]): string[] =>
  issues.slice(0, 20).map((issue) => printable(`${v.getDotPath(issue) ?? 'manifest'}: ${issue.message.slice(0, 200)}`));

/** On which servers of a pair the units run, as the settings are. */
export const rolesOf = ({ runsOn, onBothWhen }: Pick<FeatureManifest, 'runsOn' | 'onBothWhen'>, settings: Settings) =>
  onBothWhen !== null && settings[onBothWhen] === true ? 'both' : runsOn;
