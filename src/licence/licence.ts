/** Licence packages: what the holder may use, until when, signed by a key that the profile trusts. */
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { maxTextSize, openPackage } from '../packages/package-kind.ts';
import { parseSignature, type TrustedKey, verifySignature } from '../packages/signature.ts';

const isoDay = v.pipe(v.string(), v.isoDate(), v.check(isCalendarDay, 'no such day'));
// Shown on terminals: printable, one line, not endless.
const label = v.pipe(v.string(), v.regex(/^[^\p{C}\u2028\u2029]{1,200}$/u));

export const licenceSchema = v.object({
  kind: v.literal('cmsadm-licence'),
  serial: label,
  holder: label,
  product: label,
  issued: isoDay,
  /** The last day on which it is valid (UTC), or 'never'. */
  expires: v.union([v.literal('never'), isoDay]),
  features: v.record(
    v.pipe(v.string(), v.regex(/^[A-Z][A-Z0-9_]{0,63}$/u)),
    v.object({ name: label, count: v.pipe(v.number(), v.integer(), v.minValue(0)) }),
  ),
});

export type LicenceData = v.InferOutput<typeof licenceSchema>;
export type Licence = LicenceData & { readonly path: string /** Name of the trusted key. */; readonly signer: string };

/**
 * Opens a licence package and checks its signature and its last day against `now`.
 * Throws 'licence-unreadable', 'licence-foreign', 'licence-badly-signed', 'licence-expired'.
 */
export async function openLicence(path: string, keys: readonly TrustedKey[], now: Date): Promise<Licence> {
  const { zip, main } = await openPackage(path, 'licence');
  if (!zip.names.includes('licence.sig'))
    throw new CmsadmError('licence-badly-signed', 'The licence is not signed.', { file: path, remedy: askAgain });
  const signer = signerOf(main, zip.read('licence.sig', maxTextSize), keys, path);
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), licenceSchema), main.toString('utf8'));
  if (!found.success)
    throw new CmsadmError('licence-unreadable', 'The licence cannot be read by this version.', {
      file: path,
      details: found.issues.map((issue) => `${v.getDotPath(issue) ?? 'licence.json'}: ${issue.message}`),
      remedy: askAgain,
    });
  const licence = found.output;
  if (licence.expires !== 'never' && now.getTime() >= Date.parse(licence.expires) + day)
    throw new CmsadmError('licence-expired', `The licence ${licence.serial} ended on ${licence.expires}.`, {
      file: path,
      remedy: "Ask the licence's issuer for a renewed one; if the date is wrong, set this server's clock.",
    });
  return { ...licence, path, signer: signer.name };
}

/** Throws 'licence-lacks-feature' unless the licence holds at least one of the feature, named by its code (`OT_CONN`). */
export function requireFeature(licence: Licence, feature: string): void {
  if (Object.hasOwn(licence.features, feature) && (licence.features[feature]?.count ?? 0) > 0) return;
  const held = Object.entries(licence.features).filter(([, { count }]) => count > 0);
  throw new CmsadmError('licence-lacks-feature', `The licence ${licence.serial} does not hold ${feature}.`, {
    file: licence.path,
    details:
      held.length === 0 ? ['It holds no feature.'] : held.map(([code, { name }]) => `It holds ${code} (${name}).`),
    remedy: `Ask the licence's issuer for one with ${feature}.`,
  });
}

const day = 24 * 60 * 60 * 1000;
const askAgain = "Ask the licence's issuer for the file again.";

function signerOf(main: Buffer, signature: Buffer, keys: readonly TrustedKey[], file: string): TrustedKey {
  try {
    return verifySignature(main, parseSignature(signature.toString('utf8')), keys);
  } catch (cause) {
    if (!(cause instanceof CmsadmError)) throw cause;
    throw new CmsadmError('licence-badly-signed', `The licence is not accepted. ${cause.message}`, {
      file,
      details: cause.details,
      remedy: cause.remedy ?? askAgain,
      cause,
    });
  }
}

function isCalendarDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}
