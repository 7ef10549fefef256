import { CmsadmError } from '../errors.ts';
import { type BothFacts, hostnameOf, type SetupAnswers } from '../ha/answers.ts';
import { ownFqdn } from '../ha/own-name.ts';
import { readText } from '../host/root.ts';
import { readLink, readPair } from '../pair/state.ts';
import { checkAddress, checkFqdn } from './checks.ts';
import { missingForContact } from './contact.ts';
import { type CommandContext, type Given, settleAnswers } from './context.ts';
import { overrideParameters, setupParameters } from './parameters.ts';
import { notPrimary } from './run-plan.ts';
import { type Opened, setupSlots } from './setup-questions.ts';

/** The answers before the SSH ports are known, which the two servers tell themselves. */
export type Asked = Omit<SetupAnswers, 'selfPort' | 'peerPort'>;

/** Asks the five questions and settles what this server is called. @throws CmsadmError not-primary, no-route, no-fqdn, usage */
export async function askAnswers(context: CommandContext, given: Given, opened: Opened): Promise<Asked> {
  const { host, profile } = context;
  const [saved, link] = [readPair(host.root), readLink(host.root)];
  if (saved && link && saved.primary.address !== link.self.address)
    throw notPrimary('set up the roles', saved.primary.fqdn);
  const [{ hostname }, addresses, source] = await Promise.all([
    host.system.identity(),
    host.system.addresses(),
    host.system.routeSource('192.0.2.1'),
  ]);
  const hosts = readText(host.root, '/etc/hosts') ?? '';
  const own = { addresses: addresses.map(({ address }) => address), fqdn: ownFqdn(hosts, source, hostname) };
  const settled = await settleAnswers(
    setupSlots(profile, host.root, saved, own, new Date(host.system.clock()), opened),
    given,
    context,
    link || context.ask ? [] : missingForContact(host.root, given),
  );
  const secondary = settled[setupParameters.secondaryIp.name] ?? '';
  const peerFqdn = settled[setupParameters.secondaryFqdn.name] ?? '';
  const givenIp = given[overrideParameters.primaryIp.name];
  const selfIp =
    givenIp === undefined ? (link?.self.address ?? (await host.system.routeSource(secondary))) : checkAddress(givenIp);
  if (selfIp === undefined)
    throw new CmsadmError('no-route', `This server has no route to ${secondary}.`, {
      server: secondary,
      remedy: `Check the address and the routing table (\`ip route get ${secondary}\`).`,
    });
  const givenFqdn = given[overrideParameters.primaryFqdn.name];
  const selfFqdn =
    givenFqdn === undefined ? (link?.self.fqdn ?? ownFqdn(hosts, selfIp, hostname)) : checkFqdn(givenFqdn);
  if (selfFqdn === undefined)
    throw new CmsadmError('no-fqdn', 'This server’s /etc/hosts tells no FQDN for it.', {
      file: '/etc/hosts',
      remedy: `Add "${selfIp} FQDN HOSTNAME" there, or give --primary-fqdn.`,
    });
  const ntp = settled[setupParameters.ntpServer.name] ?? '';
  return {
    ntpServer: ntp === '' ? null : ntp,
    self: { address: selfIp, fqdn: selfFqdn, hostname: hostnameOf(selfFqdn) },
    peer: { address: secondary, fqdn: peerFqdn, hostname: hostnameOf(peerFqdn) },
    rhosts: profile.rhostsUser !== undefined && wantsRhosts(given, saved?.rhosts),
    licencePackage: settled[setupParameters.licencePackage.name] ?? '',
    haPackage: settled[setupParameters.haPackage.name] ?? '',
  };
}

// Only now are the time zones known; the first question may have been answered without knowing.
export async function withTimeZones(
  context: CommandContext,
  given: Given,
  facts: BothFacts,
  answers: SetupAnswers,
): Promise<SetupAnswers> {
  const [here, there] = [facts.local.identity.timeZone, facts.peer.identity.timeZone];
  if (
    here === there ||
    answers.ntpServer !== null ||
    !context.ask ||
    given[setupParameters.ntpServer.name] !== undefined
  )
    return answers;
  context.report.warn(`The servers are in different time zones: ${here} here, ${there} on ${answers.peer.fqdn}.`);
  const text = await context.ask.text({
    text: setupParameters.ntpServer.question,
    preset: '',
    check: (value) => (value === '' || value === 'none' ? '' : checkAddress(value)),
  });
  context.log.choice(`${setupParameters.ntpServer.name}=${text}`);
  return { ...answers, ntpServer: text === '' ? null : text };
}

function wantsRhosts(given: Given, saved: boolean | undefined): boolean {
  if (given[overrideParameters.noRhosts.name] !== undefined) return false;
  return given[overrideParameters.rhosts.name] !== undefined || (saved ?? true);
}
