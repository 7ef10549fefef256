import { operations } from './operations.ts';
import { allFaults, attempt, prepare } from './trial.ts';

for (const op of operations) {
  const t = performance.now();
  const stage = await prepare(op);
  const faults = allFaults(stage);
  console.log(op, stage.points.cms1.length, stage.points.cms2.length, faults.length, performance.now() - t);
  const counts = new Map<string, number>();
  const sample = faults.filter((_, i) => i % 37 === 0);
  const t2 = performance.now();
  let shown = 0;
  for (const fault of sample) {
    const r = await attempt(stage, fault);
    counts.set(r.outcome, (counts.get(r.outcome) ?? 0) + 1);
    if ((r.wrong.length > 0 || r.outcome === 'mixed') && shown++ < 8)
      console.log(
        JSON.stringify(fault),
        JSON.stringify(stage.points[fault.server][fault.at]),
        r.outcome,
        r.wrong.join('\n   ').slice(0, 1500),
      );
  }
  console.log([...counts], sample.length, (performance.now() - t2) / sample.length, 'ms each');
}
