// Makes a licence package: npm run licence -- --out FILE [--features OT_CONN,…] [--expires 2030-01-01|never] …
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { buildLicence } from '../src/licence/build-licence.ts';
import { licenceSchema } from '../src/licence/licence.ts';
import { readSigningKey } from './signing-key.ts';

const usage =
  'npm run licence -- --out FILE [--features OT_CONN,…] [--expires 2030-01-01|never] [--holder NAME] [--product NAME] [--serial TEXT] [--key PEM]';
const names: Readonly<Record<string, string>> = { OT_CONN: 'Other Connector' };

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    features: { type: 'string', default: 'OT_CONN' },
    expires: { type: 'string', default: 'never' },
    holder: { type: 'string', default: 'Test holder' },
    product: { type: 'string', default: 'cms' },
    serial: { type: 'string', default: 'TEST-0001' },
    key: { type: 'string' },
  },
});

if (values.out === undefined) {
  console.error(usage);
  process.exit(64);
}
const codes = values.features.split(',').filter((code) => code !== '');
const checked = v.safeParse(licenceSchema, {
  kind: 'cmsadm-licence',
  serial: values.serial,
  holder: values.holder,
  product: values.product,
  issued: new Date().toISOString().slice(0, 10),
  expires: values.expires,
  features: Object.fromEntries(codes.map((code) => [code, { name: names[code] ?? code, count: 1 }])),
});
if (!checked.success) {
  for (const issue of checked.issues) console.error(`${v.getDotPath(issue) ?? 'licence'}: ${issue.message}`);
  process.exit(64);
}
await buildLicence({ licence: checked.output, privateKeyPem: readSigningKey(values.key), out: values.out });
console.log(
  `${values.out}: ${codes.join(', ') || 'no feature'}, valid ${values.expires === 'never' ? 'for ever' : `until ${values.expires}`}`,
);
