import { afterTheDecision, CmsadmError } from '../errors.ts';
import { readPair } from '../pair/state.ts';
import { readAccounts } from '../passwords/accounts.ts';
import { type AgingPlan, daysText } from '../passwords/aging-plan.ts';
import { agingPlan, passwordAging } from '../passwords/apply.ts';
import { type Expiry, expiryOf, expiryText } from '../passwords/expiry.ts';
import { agingFile, parseExclude, printAging, readAging, type WantedAging, WEEKS } from '../passwords/wanted-aging.ts';
import { administer } from './administer.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers, usage } from './context.ts';
import { agingParameters } from './parameters.ts';

/** What the screens and `--json` tell of one user. */
type UserLine = {
  readonly name: string;
  /** Days until the password expires, before and after; -1 is none. */
  readonly was: number;
  readonly becomes: number;
  readonly expiry: Expiry;
};

/**
 * Option 9: has the passwords of the product's users age, on both servers; shows who is affected and who expires when.
 * @throws CmsadmError no-users-to-age, aging-unreadable, those of administer
 */
export async function passwdAge(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile } = context;
  if (!profile.passwords)
    throw new CmsadmError('no-users-to-age', `The profile "${profile.name}" names no users whose passwords age.`, {
      remedy: 'Give it a block "passwords" with their login shell; docs/administration.md shows its form.',
    });
  const current = readAging(host.root, profile);
  tellState(context, current);
  const wanted = await settleWanted(context, given, current);
  if (wanted === 'left') return declined(context, 'password aging');
  const plan = agingPlan(host, profile, wanted);
  if (!plan) throw new Error('a profile with passwords has a plan');
  const users = usersOf(plan, host.system.clock());
  const warning = warningOf(users);
  const isNew = printAging(wanted) !== printAging(current);
  return administer(context, {
    operation: operationOf(wanted),
    files: isNew ? [{ path: agingFile(profile), content: printAging(wanted) }] : [],
    basis: { seen: printAging(current), read: () => printAging(readAging(host.root, profile)) },
    notes: notesOf(context, wanted, plan, users),
    ...(warning === undefined ? {} : { warning }),
    afterwards: () =>
      afterTheDecision('What is wanted is saved', async () => shortened(await passwordAging.apply(host, profile))),
    result: {
      ...wanted,
      users: users.map(({ expiry, ...user }) => ({ ...user, expires: expiryText(expiry) })),
      byHand: plan.byHand,
    },
  });
}

const operationOf = ({ aging, weeks }: WantedAging): string =>
  aging === 'on' ? `password aging on, every ${weeks} weeks` : 'password aging off';

/** As many lines as a person reads; `--json` has all users. */
const MOST = 40;
const shortened = (lines: readonly string[]): string[] =>
  lines.length <= MOST ? [...lines] : [...lines.slice(0, MOST - 1), `and ${lines.length - MOST + 1} more`];

function tellState({ host, profile, report }: CommandContext, current: WantedAging): void {
  const { aging, weeks, exclude } = current;
  report.line(aging === 'on' ? `Password aging is on: every ${weeks} weeks.` : 'Password aging is off.');
  report.line(`Excluded: ${exclude.length === 0 ? 'nobody' : exclude.join(', ')}.`);
  const plan = agingPlan(host, profile, current);
  const users = usersOf(plan, host.system.clock()).map(
    ({ name, was, expiry }) => `${name}: ${daysText(was)}, expires ${expiryText(expiry)}`,
  );
  for (const line of [...shortened(users), ...shortened(plan?.byHand ?? [])]) report.line(`  ${line}`);
}

/** The questions, in the original's order: what to do; the exclude list before it is turned on; the weeks. */
async function settleWanted(
  context: CommandContext,
  given: Given,
  current: WantedAging,
): Promise<WantedAging | 'left'> {
  const { action, exclude, weeks } = agingParameters;
  const { action: chosen = '' } = await settleAnswers(
    // The preset is for who reads the list; a script says what is to be done.
    [{ parameter: action, ...(context.ask ? { preset: '1' } : {}), check: (typed) => actionOf(typed, current) }],
    given,
    context,
  );
  if (chosen === 'q') return 'left';
  const known = current.exclude.length > 0 || current.aging === 'on';
  const listed = current.exclude.join(',') || 'none';
  if (chosen === 'off') {
    const unwanted = [exclude, weeks].filter(({ name }) => given[name] !== undefined).map(({ name }) => `--${name}`);
    if (unwanted.length > 0)
      throw usage(`off takes no ${unwanted.join(', ')}.`, 'Leave them out, or give --action on or change.');
    return { ...current, aging: 'off' };
  }
  const answers = await settleAnswers(
    [
      // Nobody is excluded by silence: the list is typed, or none, before passwords age for the first time.
      ...(chosen === 'on' || given[exclude.name] !== undefined
        ? [
            {
              parameter: exclude,
              ...(known ? { preset: listed } : {}),
              check: (typed: string) => parseExclude(typed).join(',') || 'none',
            },
          ]
        : []),
      { parameter: weeks, preset: String(current.aging === 'on' ? current.weeks : WEEKS.usual), check: weeksOf },
    ],
    given,
    context,
  );
  const names = answers[exclude.name];
  return {
    aging: 'on',
    weeks: Number(answers[weeks.name]),
    exclude: names === undefined ? current.exclude : parseExclude(names),
  };
}

const actions = ['on', 'off', 'change'] as const;

function actionOf(typed: string, { aging }: WantedAging): string {
  const text = typed.trim();
  if (text === 'q') return text;
  const action = actions.find((one, index) => text === one || text === String(index + 1));
  if (action === undefined)
    throw usage(
      text === '' ? 'Nothing says what is to be done.' : `${JSON.stringify(text)} is no choice.`,
      'Type 1, 2 or 3 (on, off, change), or q to leave.',
    );
  if (action === 'change' && aging === 'off')
    throw new CmsadmError('aging-off', 'Password aging is off: there is no interval to change.', {
      remedy: 'Turn it on; the interval is asked for then.',
    });
  return action;
}

function weeksOf(typed: string): string {
  const text = typed.trim();
  if (/^[1-9]\d?$/.test(text) && Number(text) <= WEEKS.most) return text;
  throw usage(`${JSON.stringify(text)} is no number of weeks.`, `Type a number from ${WEEKS.least} to ${WEEKS.most}.`);
}

/** Who ages, and who gets back what he had. */
function usersOf(plan: AgingPlan | undefined, clock: number): UserLine[] {
  if (!plan) return [];
  const steps = new Map(plan.steps.map(({ account, to }) => [account.name, to]));
  const restored = plan.steps.filter(({ why }) => why === 'as before').map(({ account }) => account);
  return [...plan.affected, ...restored].map((account) => {
    const becomes = steps.get(account.name)?.max ?? account.max;
    return { name: account.name, was: account.max, becomes, expiry: expiryOf(account, becomes, clock) };
  });
}

function notesOf(
  { host, profile }: CommandContext,
  wanted: WantedAging,
  plan: AgingPlan,
  users: readonly UserLine[],
): string[] {
  const changes = ({ was, becomes }: UserLine): string =>
    was === becomes ? daysText(was) : `${daysText(was)} become ${daysText(becomes)}`;
  const here = readAccounts(host.root).map(({ name }) => name);
  const unknown = wanted.exclude.filter((name) => !here.includes(name));
  return [
    users.length === 0
      ? `No user of this server is affected (login shell ${profile.passwords?.shell}).`
      : `${users.length === 1 ? 'One user' : `${users.length} users`} of this server:`,
    ...shortened(users.map((user) => `${user.name}: ${changes(user)}, expires ${expiryText(user.expiry)}`)),
    ...shortened(plan.byHand),
    ...(unknown.length === 0 ? [] : [`Excluded, but no account of this server: ${unknown.join(', ')}.`]),
    ...(readPair(host.root) ? ['The other server does the same to its own users, as soon as the file is there.'] : []),
  ];
}

/** Named once more right before the question: they would be asked for a new password, or shut out, at their next log-in. */
function warningOf(users: readonly UserLine[]): string | undefined {
  const named = (when: Expiry['when']): string =>
    users.flatMap(({ name, expiry }) => (expiry.when === when ? [name] : [])).join(', ');
  const [now, out] = [named('at once'), named('locked out')];
  const texts = [
    ...(now === '' ? [] : [`At their next log-in these users must change their password: ${now}.`]),
    ...(out === '' ? [] : [`These users could not log in any more, their inactive days are over as well: ${out}.`]),
  ];
  return texts.length === 0 ? undefined : texts.join(' ');
}
