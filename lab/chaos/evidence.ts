import { exec } from '../lab.ts';
import { findGuest } from '../lifecycle.ts';
import { pair } from './standing.ts';

const script = `
cd /var/lib/cmsadm/journal 2>/dev/null && for journal in $(ls -t *.jsonl | head -n 4); do
  echo "journal $journal: $(sed 1d "$journal" | tr '\\n' ' ') decision: $(cat "\${journal%.jsonl}.decision" 2>/dev/null || echo none)"
done
cat /run/cmsadm/lock 2>/dev/null
tail -n 5 /var/lib/cmsadm/alarms.jsonl 2>/dev/null
tail -n 5 /var/log/cmsadm/admin.log 2>/dev/null
systemctl list-units --all --plain --no-legend 'cmsadm*'
journalctl --no-pager --quiet --output=short-precise -n 25 -t cmsadm-recover -t cmsadm-agent -t cmsadm 2>/dev/null
journalctl --no-pager --quiet --output=short-precise -n 400 -t systemd 2>/dev/null | grep -E 'cmsadm|ids|cms\\.service|chrony|nftables|ssh\\.service' | tail -n 20
`;

/** What both servers know of their last changes, line by line: for whoever looks into a violation. */
export async function evidence(): Promise<readonly string[]> {
  const told: string[] = [];
  for (const server of pair) {
    if (findGuest(server) === undefined) told.push(`${server}: off`);
    else {
      const { stdout } = await exec(server, ['sh', '-c', script], { reject: false, timeoutMs: 20_000 });
      told.push(...stdout.split('\n').map((line) => `${server}: ${line.slice(0, 400)}`));
    }
  }
  return told;
}
