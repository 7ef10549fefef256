import { CmsadmError } from '../errors.ts';
import type { Root } from '../host/root.ts';
import { openLicence, requireFeature } from '../licence/licence.ts';
import { type HaPackage, openHaPackage } from '../packages/ha-package.ts';
import type { Pair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { checkAddress, checkFile, checkFqdn, checkPort, checkUser } from './checks.ts';
import type { Slot } from './context.ts';
import { contactParameters, setupParameters } from './parameters.ts';

/** What the checks of the questions found and later steps use. */
export type Opened = { package: HaPackage | undefined; licence: string | undefined };

/** The slots of the five questions. @param own this server's own addresses and FQDN, which the secondary can't have */
export function setupSlots(
  profile: Profile,
  root: Root,
  saved: Pair | undefined,
  own: { addresses: readonly string[]; fqdn: string | undefined },
  now: Date,
  opened: Opened,
): Slot[] {
  const preset = (value: string | null | undefined): { preset?: string } =>
    value === null || value === undefined ? {} : { preset: value };
  return [
    {
      parameter: setupParameters.ntpServer,
      preset: saved?.ntpServer ?? '',
      check: (text) => (text === '' || text === 'none' ? '' : checkAddress(text)),
    },
    {
      parameter: setupParameters.secondaryIp,
      ...preset(saved?.secondary.address),
      check: (text) => {
        const address = checkAddress(text);
        if (own.addresses.includes(address))
          throw new CmsadmError('answer-refused', `${address} is this server itself.`, {
            remedy: 'Give the address of the other server.',
          });
        return address;
      },
    },
    {
      parameter: setupParameters.secondaryFqdn,
      ...preset(saved?.secondary.fqdn),
      check: (text) => {
        const name = checkFqdn(text);
        if (name === own.fqdn)
          throw new CmsadmError('answer-refused', `${name} is this server itself.`, {
            remedy: 'Give the name of the other server.',
          });
        return name;
      },
    },
    {
      parameter: setupParameters.licencePackage,
      ...preset(saved?.licencePackage),
      check: async (text) => {
        const licence = await openLicence(checkFile(root, text), profile.trust, now);
        requireFeature(licence, profile.licenceFeature);
        opened.licence = `Licence ${licence.serial} of ${licence.holder} holds ${profile.licenceFeature}, signed by ${licence.signer}, valid until ${licence.expires}.`;
        return text;
      },
    },
    {
      parameter: setupParameters.haPackage,
      ...preset(saved?.haPackage),
      check: async (text) => {
        opened.package = await openHaPackage(checkFile(root, text), profile.trust);
        return text;
      },
    },
  ];
}

/** The slots of the first contact that can be asked like any other. */
export const contactSlots = (root: Root, sshPort: number): Slot[] => [
  { parameter: contactParameters.peerUser, preset: 'root', check: checkUser },
  { parameter: contactParameters.sshPort, preset: String(sshPort), check: checkPort },
  { parameter: contactParameters.peerKey, preset: '', check: (text) => (text === '' ? '' : checkFile(root, text)) },
];
