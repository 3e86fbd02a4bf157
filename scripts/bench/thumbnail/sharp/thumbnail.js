// Makes the same copies as package picture does, and tells what CPU time that took.
//
//   node thumbnail.js PHOTO OUT RUNS SIZE...
//
// It prints {"<size>": milliseconds of CPU time of one copy, ...} and leaves the copies
// in OUT/sharp-<size>.jpg.
import { readFileSync, writeFileSync } from 'node:fs';
import sharp from 'sharp';

const [photo, out, runs, ...sizes] = process.argv.slice(2);
sharp.cache(false);
sharp.concurrency(1); // one vCPU, as the function has

const data = readFileSync(photo);
const copy = (size) =>
  sharp(data)
    .autoOrient()
    .resize({ width: size, height: size, fit: 'inside', withoutEnlargement: true })
    .keepIccProfile()
    .jpeg({ quality: 80 })
    .toBuffer();

const took = {};
for (const size of sizes.map(Number)) {
  writeFileSync(`${out}/sharp-${size}.jpg`, await copy(size)); // and warm up
  const before = process.cpuUsage();
  for (let run = 0; run < Number(runs); run++) await copy(size);
  const { user, system } = process.cpuUsage(before);
  took[size] = (user + system) / 1000 / Number(runs);
}
console.log(JSON.stringify(took));
