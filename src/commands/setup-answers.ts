import { CmsadmError } from '../errors.ts';
import { type BothFacts, hostnameOf, type SetupAnswers } from '../ha/answers.ts';
import { ownFqdn } from '../ha/own-name.ts';
import { readText } from '../host/root.ts';
import { readFacts } from '../pair/facts.ts';
import { checkAddress, checkFqdn } from './checks.ts';
import { missingForContact } from './contact.ts';
import { type CommandContext, type Given, settleAnswers } from './context.ts';
import { overrideParameters, setupParameters } from './parameters.ts';
import { notPrimary } from './run-plan.ts';
import { type Opened, setupSlots } from './setup-questions.ts';

/** Asks the five questions and settles what this server is called. @throws CmsadmError not-primary, no-route, no-fqdn, usage */
export async function askAnswers(context: CommandContext, given: Given, opened: Opened): Promise<SetupAnswers> {
  const { host, profile } = context;
  const facts = await readFacts(host, profile, { address: '192.0.2.1', fqdn: '' });
  const saved = facts.pair;
  if (saved && facts.link && saved.primary.address !== facts.link.self.address)
    throw notPrimary('set up the roles', saved.primary.fqdn);
  const hosts = readText(host.root, '/etc/hosts') ?? '';
  const own = {
    addresses: facts.addresses.map(({ address }) => address),
    fqdn: ownFqdn(hosts, facts.routeSource, facts.identity.hostname),
  };
  const settled = await settleAnswers(
    setupSlots(profile, host.root, saved, own, new Date(host.system.clock()), opened),
    given,
    context,
    facts.link || context.ask ? [] : missingForContact(host.root, given),
  );
  const secondary = settled[setupParameters.secondaryIp.name] ?? '';
  const peerFqdn = settled[setupParameters.secondaryFqdn.name] ?? '';
  const givenIp = given[overrideParameters.primaryIp.name];
  const selfIp =
    givenIp === undefined
      ? (facts.link?.self.address ?? (await host.system.routeSource(secondary)))
      : checkAddress(givenIp);
  if (selfIp === undefined)
    throw new CmsadmError('no-route', `This server has no route to ${secondary}.`, {
      server: secondary,
      remedy: `Check the address and the routing table (\`ip route get ${secondary}\`).`,
    });
  const givenFqdn = given[overrideParameters.primaryFqdn.name];
  const selfFqdn =
    givenFqdn === undefined
      ? (facts.link?.self.fqdn ?? ownFqdn(hosts, selfIp, facts.identity.hostname))
      : checkFqdn(givenFqdn);
  if (selfFqdn === undefined)
    throw new CmsadmError('no-fqdn', 'This server’s /etc/hosts tells no FQDN for it.', {
      file: '/etc/hosts',
      remedy: `Add "${selfIp} FQDN HOSTNAME" there, or give --primary-fqdn.`,
    });
  const ntp = settled[setupParameters.ntpServer.name] ?? '';
  return {
    ntpServer: ntp === '' ? null : ntp,
    self: { address: selfIp, fqdn: selfFqdn, hostname: hostnameOf(selfFqdn) },
    selfPort: facts.sshPort,
    peer: { address: secondary, fqdn: peerFqdn, hostname: hostnameOf(peerFqdn) },
    peerPort: facts.link?.peer.port ?? 22,
    rhosts: given[overrideParameters.noRhosts.name] === undefined && profile.rhostsUser !== undefined,
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
    check: (value) => (value === '' ? '' : checkAddress(value)),
  });
  context.log.choice(`${setupParameters.ntpServer.name}=${text}`);
  return { ...answers, ntpServer: text === '' ? null : text };
}
