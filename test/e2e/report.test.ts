import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import { reportRun } from '../../lib/run/run-report.js';
import { withoutBrowser, withPage } from '../helpers/browser.js';
import { writeMadeUpRun } from '../helpers/made-up-run.js';

const root = mkdtempSync(join(tmpdir(), 'mode-ensemble-report-'));
after(() => rmSync(root, { recursive: true, force: true }));

const EVIL = `</script><script>document.title='taken'</script><img src=x onerror="document.title='taken'">&'`;
const SETS = ['SVHN', 'LSUN', 'iSUN', 'Textures', 'Places365'];

/** Scrolls through the page, so that every chart comes to life, and waits for that. */
async function scrollThrough(page: Page): Promise<void> {
  const height = await page.evaluate('document.documentElement.scrollHeight');
  for (let y = 0; y < Number(height); y += 700) {
    await page.evaluate(`window.scrollTo(0, ${y})`);
    await page.waitForTimeout(20);
  }
  await until(page, "document.querySelectorAll('[data-chart]:not(.live)').length === 0");
}

/** As waitForFunction, which the page's policy does not let evaluate. */
async function until(page: Page, condition: string): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await page.evaluate(condition))) {
    assert.ok(performance.now() < end, `a minute later it is still not so: ${condition}`);
    await page.waitForTimeout(50);
  }
}

const count = (page: Page, selector: string) => page.locator(selector).count();

describe('the report in a browser', { skip: withoutBrowser }, () => {
  const small = join(root, 'small');
  let file: string;
  before(async () => {
    await writeMadeUpRun(small, { title: EVIL, out: [EVIL, 'LSUN'], detectors: ['msp', 'knn'], hasPairs: true });
    const pictures = join(small, 'landscape');
    mkdirSync(pictures);
    const script = `<script>fetch('http://127.0.0.1:9/')</script>`;
    writeFileSync(
      join(pictures, 'landscape.svg'),
      `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">${script}<rect width="40" height="30"/></svg>`,
    );
    const figures = [{ file: 'landscape.svg', title: 'A landscape', caption: EVIL }];
    writeFileSync(join(pictures, 'landscape.json'), JSON.stringify({ version: 1, figures }));
    file = pathToFileURL((await reportRun(small)).html).href;
  });

  it('opens without complaint, brings every chart to life, and asks for nothing', () =>
    withPage({}, async ({ page, complaints, requests }) => {
      await page.goto(file);
      // 2 strips, 2 × 2 ROC, 2 × 2 histograms, 2 sizes, 3 matrices, 2 of training.
      assert.equal(await count(page, '[data-chart]'), 17);
      assert.equal(await count(page, '[data-chart] svg'), 17);
      await scrollThrough(page);
      assert.equal(await count(page, '[data-chart].live svg'), 17);
      const marks = (await page.evaluate(
        `[...document.querySelectorAll('[data-chart] svg')].map((svg) => svg.querySelectorAll('.mark-line path, .mark-symbol path, .mark-rect path').length)`,
      )) as number[];
      assert.ok(
        marks.every((n) => n > 0),
        marks.join(),
      );
      assert.equal(await page.title(), EVIL);
      const size = await page.evaluate("document.querySelector('.pictures img').naturalWidth");
      assert.equal(size, 40);
      assert.deepEqual(complaints, []);
      assert.deepEqual(requests, [file]);
    }));

  it('tells what the pointer is at', () =>
    withPage({}, async ({ page, complaints }) => {
      await page.goto(file);
      const chart = page.locator('[data-chart]').first();
      await until(page, "document.querySelector('[data-chart]').classList.contains('live')");
      await chart.locator('.mark-symbol path').first().hover();
      await until(page, "!document.querySelector('.tip').hidden");
      const text = await page.locator('.tip').innerText();
      assert.match(text, /detector MSP\nkind mode\nmembers 1000\nFPR95 \d+\.\d\d%/);
      assert.deepEqual(complaints, []);
    }));

  it('sorts its tables, whole numbers and not text, and leaves sums where they are', () =>
    withPage({}, async ({ page }) => {
      await page.goto(file);
      const table = page.locator('h2#training ~ div.scroll table').first();
      const column = async (place: number) =>
        (await table.locator(`tbody td:nth-child(${place})`).allInnerTexts()).map(Number);
      const head = table.locator('th').nth(2);
      await head.locator('button').click();
      const up = await column(3);
      assert.deepEqual(
        up,
        [...up].sort((a, b) => a - b),
      );
      assert.equal(await head.getAttribute('aria-sort'), 'ascending');
      await head.locator('button').click();
      assert.deepEqual(await column(3), [...up].reverse());
      assert.equal(await head.getAttribute('aria-sort'), 'descending');
      // In a detector's table each metric is sorted on its own, between its head and its mean.
      const detector = page.locator('section table').first();
      const rows = () => detector.locator('tbody').first().locator('tr td:first-child').allInnerTexts();
      const before = await rows();
      assert.deepEqual(before, [EVIL, 'LSUN', 'mean over sets']);
      const mode = detector.locator('th button').last();
      const values = async () =>
        (await detector.locator('tbody').first().locator('tr.set td:last-child').allInnerTexts()).map((text) =>
          Number(text.replace('★', '')),
        );
      await mode.click();
      const [low = 0, high = 0] = await values();
      assert.ok(low < high, `${low} ${high}`);
      await mode.click();
      assert.deepEqual(await values(), [high, low]);
      assert.deepEqual((await rows()).at(-1), 'mean over sets');
    }));

  it('follows the system into the dark, and a button out of it', async () => {
    const ground = 'getComputedStyle(document.body).backgroundColor';
    await withPage({ colorScheme: 'dark' }, async ({ page, complaints }) => {
      await page.goto(file);
      assert.equal(await page.evaluate(ground), 'rgb(20, 25, 31)');
      await page.getByRole('button', { name: 'Light colours' }).click();
      assert.equal(await page.evaluate(ground), 'rgb(255, 255, 255)');
      await page.getByRole('button', { name: 'Dark colours' }).click();
      assert.equal(await page.evaluate(ground), 'rgb(20, 25, 31)');
      assert.deepEqual(complaints, []);
    });
    await withPage({ colorScheme: 'light' }, async ({ page }) => {
      await page.goto(file);
      assert.equal(await page.evaluate(ground), 'rgb(255, 255, 255)');
    });
  });

  it('saves a chart as SVG and as PNG', () =>
    withPage({}, async ({ page, complaints }) => {
      await page.goto(file);
      const save = async (kind: string) => {
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.locator('.save button', { hasText: kind }).first().click({ force: true }),
        ]);
        return readFileSync(await download.path());
      };
      const svg = (await save('SVG')).toString();
      assert.match(svg, /^<svg [^>]*><rect width="100%" height="100%" fill="#ffffff"\/>/);
      assert.doesNotMatch(svg, /var\(|currentColor/);
      assert.equal((await save('PNG')).subarray(1, 4).toString(), 'PNG');
      assert.deepEqual(complaints, []);
    }));

  it('is whole without scripts', () =>
    withPage({ hasScripts: false }, async ({ page }) => {
      await page.goto(file);
      assert.equal(await count(page, '[data-chart] svg'), 17);
      assert.ok(await page.locator('h2#overview').isVisible());
      assert.ok(!(await page.locator('#theme').isVisible()));
    }));

  it('lets no other script and no request through', () =>
    withPage({}, async ({ page }) => {
      await page.goto(file);
      const attempt = (what: string) =>
        page.evaluate(`new Promise((told) => {
          document.addEventListener('securitypolicyviolation', (event) => told(event.effectiveDirective), { once: true });
          ${what}
        })`);
      assert.equal(await attempt("new Image().src = 'http://127.0.0.1:9/x.png';"), 'img-src');
      assert.equal(await attempt("fetch('http://127.0.0.1:9/').catch(() => {});"), 'connect-src');
      assert.equal(
        await attempt("const s = document.createElement('script'); s.textContent = '1'; document.body.append(s);"),
        'script-src-elem',
      );
      assert.equal(await page.title(), EVIL);
    }));

  it('of 10 modes, 7 detectors and 5 sets is below 5 MB, opens within 2 s, and fits a telephone', async () => {
    const large = join(root, 'large');
    await writeMadeUpRun(large, { modes: 10, out: SETS, images: [2000, 1000], hasPairs: true, epochs: 150 });
    const began = performance.now();
    const { html } = await reportRun(large);
    const seconds = (performance.now() - began) / 1000;
    const bytes = statSync(html).size;
    assert.ok(bytes < 5e6, `${bytes} bytes`);
    const nothing = join(root, 'nothing.html');
    writeFileSync(nothing, '<!doctype html><title>Nothing</title>');
    for (const width of [1280, 400]) {
      await withPage({ width }, async ({ page, complaints, requests }) => {
        // What the browser does at its first file of all is no part of the page.
        await page.goto(pathToFileURL(nothing).href);
        requests.length = 0;
        const from = performance.now();
        await page.goto(pathToFileURL(html).href);
        const took = performance.now() - from;
        assert.ok(took < 2000, `${took} ms to open`);
        if (width === 1280)
          console.log(
            `    ${(bytes / 1e6).toFixed(2)} MB, made in ${seconds.toFixed(1)} s, opened in ${took.toFixed(0)} ms`,
          );
        // 5 strips, 35 ROC, 35 histograms, 7 sizes, 6 matrices, 2 of training.
        assert.equal(await count(page, '[data-chart] svg'), 90);
        await scrollThrough(page);
        const [wide, inner] = (await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')) as number[];
        assert.ok((wide as number) <= (inner as number), `${wide} of ${inner} px`);
        assert.deepEqual(complaints, []);
        assert.equal(requests.length, 1);
      });
    }
  });
});

describe('report and results on the command line', () => {
  const bin = resolve('bin/mode-ensemble.js');
  const cli = (...args: string[]) =>
    spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', cwd: root, timeout: 120_000 });

  before(async () => {
    await writeMadeUpRun(join(root, 'a'), { detectors: ['msp', 'knn'], hasIntervals: true });
    await writeMadeUpRun(join(root, 'b'), { detectors: ['msp', 'energy'], modes: 4, hasIntervals: true });
  });

  it('makes the report again and says where it is', () => {
    const { stdout, stderr, status } = cli('report', 'a');
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'Report: a/report.html\n');
    assert.match(readFileSync(join(root, 'a/report.md'), 'utf8'), /^# Made up\n/);
    assert.match(readFileSync(join(root, 'a/report.tex'), 'utf8'), /\\begin\{table\*\}/);
    const { figures } = JSON.parse(readFileSync(join(root, 'a/figures/figures.json'), 'utf8'));
    for (const one of figures) assert.match(readFileSync(join(root, 'a/figures', one.file), 'utf8'), /^<svg /);
    const json = JSON.parse(cli('report', 'a', '--json').stdout);
    assert.equal(json.html, 'a/report.html');
    assert.equal(json.figures.length, figures.length);
  });

  it('writes each picture as PNG where that is asked for, and takes them away where it is not', () => {
    mkdirSync(join(root, 'a/landscape'));
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="15" height="20" fill="#f00"/></svg>';
    writeFileSync(join(root, 'a/landscape/landscape.svg'), svg);
    const index = { version: 1, figures: [{ file: 'landscape.svg', title: 'Surfaces', caption: '' }] };
    writeFileSync(join(root, 'a/landscape/landscape.json'), JSON.stringify(index));
    const { pngs, figures } = JSON.parse(cli('report', 'a', '--png', '--json').stdout);
    assert.equal(pngs.length, figures.length + 1);
    const png = readFileSync(join(root, 'a/figures/landscape.png'));
    assert.deepEqual([png.toString('latin1', 1, 4), png.readUInt32BE(16), png.readUInt32BE(20)], ['PNG', 60, 40]);
    for (const file of pngs) assert.ok(readFileSync(join(root, file)).length > 100, file);
    writeFileSync(join(root, 'a/landscape/landscape.svg'), 'no picture');
    const broken = cli('report', 'a', '--png');
    assert.equal(broken.status, 1);
    assert.match(broken.stderr, /landscape\.svg: expected an SVG picture, found what cannot be drawn/);
    rmSync(join(root, 'a/landscape'), { recursive: true });
    assert.equal(cli('report', 'a').status, 0);
    for (const file of pngs) assert.ok(!existsSync(join(root, file)), file);
  });

  it('prints the tables of run, by detector, set and metric', () => {
    const all = cli('results', 'a');
    assert.equal(all.status, 0, all.stderr);
    assert.match(
      all.stdout,
      /\nMSP, FPR95 % [^]*\nMSP, AUROC % [^]*\nkNN, FPR95 % [^]*\nIn CIFAR-10; convention "reference": /,
    );
    const some = cli('results', 'a', '--detector', 'KNN', '--set', 'svhn', '--metric', 'aupr-in').stdout;
    assert.match(some, /\nkNN, AUPR-in % .*\nSVHN  .*\n\n/);
    assert.doesNotMatch(some, /MSP|LSUN|FPR95 %/);
    const json = JSON.parse(cli('results', 'a', '--set', 'LSUN', '--json').stdout);
    assert.deepEqual(
      [json.out, new Set(json.rows.map((row: { out: string }) => row.out))],
      [['LSUN'], new Set(['LSUN'])],
    );
  });

  it('compares runs and exports them', () => {
    const text = cli('results', 'compare', 'a', 'b').stdout;
    assert.match(text, /^MSP, FPR95 % +modes A +modes B +better by +ensemble A +ensemble B +better by\n/);
    assert.match(text, /\nOnly in A: knn\.\nOnly in B: energy\.\nIn brackets: /);
    const { cells } = JSON.parse(cli('results', 'compare', 'a', 'b', '--metric', 'all', '--json').stdout);
    assert.equal(cells.length, 2 * 5);
    assert.equal(
      cli('results', 'export', 'a', '--format', 'csv').stdout,
      readFileSync(join(root, 'a/results.csv'), 'utf8'),
    );
    const written = cli('results', 'export', 'a', '--format', 'latex', '--output', 'tables.tex');
    assert.equal(written.stdout, 'Written: tables.tex\n');
    assert.match(readFileSync(join(root, 'tables.tex'), 'utf8'), /\\multirow/);
    assert.match(
      cli('results', 'export', 'a', '--format', 'markdown', '--detector', 'msp').stdout,
      /^## MSP\n\n\|  \| SVHN FPR95 \|/,
    );
  });

  it('ends with one sentence where something is wrong', () => {
    const fails = (status: number, message: RegExp, ...args: string[]) => {
      const result = cli(...args);
      assert.equal(result.status, status, result.stderr);
      assert.match(result.stderr, message);
      assert.equal(result.stderr.trimEnd().split('\n').length, 1, result.stderr);
    };
    fails(1, /nowhere: expected the folder of a finished run, found nothing\./, 'report', 'nowhere');
    fails(1, /nowhere: expected the folder of a finished run, found nothing\./, 'results', 'nowhere');
    fails(2, /The run has no detector "mps"; .*msp/, 'results', 'a', '--detector', 'mps');
    fails(2, /The run has no OoD set "SVNH"; .*SVHN/, 'results', 'a', '--set', 'SVNH');
    fails(2, /Unknown metric "fpr"; .*fpr95/, 'results', 'a', '--metric', 'fpr');
    fails(2, /--format/, 'results', 'export', 'a', '--format', 'pdf');
    fails(2, /missing required argument 'run'/, 'results');
  });
});
