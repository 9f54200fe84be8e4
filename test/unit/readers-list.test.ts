/** The reader of lists of images and labels. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { contents, fresh, openSet, plant, read, refusal } from '../helpers/image-sets.js';
import { open } from '../helpers/native.js';

describe('list', () => {
  const root = plant(fresh(), ['a.png', 'b c.png', 'sub/d,e.png', 'sub/f"g.png', '../beside.png']);
  const write = (text: string | Buffer, name = 'list.csv', folder = root): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const rows = async (text: string | Buffer) => {
    const data = await openSet('list', write(text), { threads: 2 });
    return contents(data, root);
  };

  const ROWS = [
    ['1', 'a.png', 0],
    ['0', 'b c.png', 1],
    ['1', 'sub/d,e.png', 2],
    ['2', 'sub/f"g.png', 3],
  ];
  const forms: [string, string | Buffer][] = [
    ['commas', 'a.png,1\nb c.png,0\n"sub/d,e.png",1\n"sub/f""g.png",2\n'],
    [
      'commas, a header, CRLF and a BOM',
      '\ufeffpath,label\r\na.png,1\r\n\r\n b c.png , 0\r\n"sub/d,e.png",1\r\n"sub/f""g.png" ,2',
    ],
    ['commas and another header', 'Filename,Label\na.png,1\n# b\nb c.png,0\n"sub/d,e.png",1\n"sub/f""g.png","2"'],
    ['tabs', '# made by hand\na.png\t1\nb c.png\t0\nsub/d,e.png\t1\n"sub/f""g.png"\t2\n'],
    ['semicolons', 'image;class\na.png;1\nb c.png;0\nsub/d,e.png;1\n"sub/f""g.png";2\n'],
    ['blanks', 'a.png 1\nb c.png  0\nsub/d,e.png\t1\n"sub/f""g.png" 2\n'],
  ];
  for (const [what, text] of forms) {
    it(`reads ${what}`, async () => assert.deepEqual(await rows(text), ROWS));
  }

  it('numbers labels that are names by their bytes', async () => {
    const data = await openSet('list', write('a.png,zebra\nb c.png,Ant\n../beside.png,10\n'));
    assert.deepEqual(data.classes, ['10', 'Ant', 'zebra']);
    assert.deepEqual(
      [0, 1, 2].map((i) => [read(data, i).label, read(data, i).pixels[0]]),
      [
        [2, 0],
        [1, 1],
        [0, 4],
      ],
    );
    assert.equal(read(data, 2).name, `${root}/../beside.png`);
  });

  it('takes names from classes.txt beside it', async () => {
    const folder = plant(fresh(), ['a.png', 'b.png']);
    writeFileSync(join(folder, 'classes.txt'), 'zebra\r\nant\nbee\n');
    const data = await openSet('list', write('a.png 2\nb.png 0\n', 'l.txt', folder));
    assert.deepEqual(data.classes, ['zebra', 'ant', 'bee']);
    assert.deepEqual([read(data, 0).label, read(data, 1).label], [2, 0]);
    const named = await openSet('list', write('a.png ant\nb.png zebra\n', 'l.txt', folder));
    assert.deepEqual([read(named, 0).label, read(named, 1).label], [1, 0]);
    assert.match(
      await refusal(openSet('list', write('a.png 2\nb.png 3\n', 'l.txt', folder))),
      /l\.txt: line 2: expected a label from 0 to 2 \(classes\.txt names 3\), found '3'\.$/,
    );
    assert.match(
      await refusal(openSet('list', write('a.png cat\n', 'l.txt', folder))),
      /l\.txt: line 1: expected a label that classes\.txt names, found 'cat'\.$/,
    );
  });

  it('gives images without labels the label 0', async () => {
    for (const text of ['a.png\nsub/d,e.png\n', 'a.png -1\nsub/d,e.png -1\n', 'path\na.png\n"sub/d,e.png"\n']) {
      const data = await openSet('list', write(text, 'unknown.txt'));
      assert.deepEqual(data.classes, ['unknown']);
      assert.deepEqual(contents(data, root), [
        ['unknown', 'a.png', 0],
        ['unknown', 'sub/d,e.png', 2],
      ]);
    }
  });

  it('takes paths from another root, and absolute ones', async () => {
    const list = write(`d,e.png\t4\n${root}/a.png\t0\n`, 'elsewhere.tsv', fresh());
    const data = await openSet('list', list, { root: join(root, 'sub') });
    assert.deepEqual(contents(data, root), [
      ['4', 'sub/d,e.png', 2],
      ['0', 'a.png', 0],
    ]);
    assert.equal(data.classes.length, 5);
  });

  it('tells labels and paths in its fingerprint', async () => {
    const of = async (text: string) => (await openSet('list', write(text))).fingerprint;
    const base = await of('a.png,1\nb c.png,0\n');
    assert.equal(await of('# the same\na.png;1\nb c.png;0'), base);
    assert.notEqual(await of('a.png,0\nb c.png,1\n'), base);
    assert.notEqual(await of('b c.png,0\na.png,1\n'), base);
  });

  it('names a file that is missing when it is read', async () => {
    const data = await openSet('list', write('a.png,0\nno.png,1\nsub,1\n'));
    assert.equal(data.count, 3);
    assert.throws(() => read(data, 1), {
      code: 'E_DATA',
      message: `cannot read ${root}/no.png: there is no such file.`,
    });
    assert.throws(() => read(data, 2), { message: `cannot read ${root}/sub: expected a file, found a folder.` });
  });

  const bad: [string, string | Buffer, RegExp][] = [
    ['a label below 0', 'a.png,0\nb,-2', /line 2: expected a label from 0, found '-2'\.$/],
    ['a label beyond all', 'a.png,1000000', /line 1: expected a label from 0 to 999999, found '1000000'\.$/],
    ['a huge label', 'a.png,99999999999999999999', /line 1: expected a label from 0 to 999999, found/],
    [
      'a name among numbers',
      'a,0\n\nb,x',
      /line 3: expected a whole number from 0 as label, as in line 1, found 'x'\.$/,
    ],
    ['a label too few', 'a,0\nb', /line 2: expected a whole number from 0 as label, as in line 1, found none\.$/],
    ['a label too many', 'a\nb 1', /line 2: expected no label, as in line 1, found '1'\.$/],
    ['a field too many', 'a,0\nb,c,1', /line 2: expected a path and a label, found 3 fields; a path that holds/],
    ['an open quote', 'a,0\n"b,1', /line 2: expected a closing quote, found none\.$/],
    ['text after a quote', '"a"b,0', /line 1: expected a separator after a closing quote\.$/],
    ['no path', 'a,0\n,1', /line 2: expected a path, found none\.$/],
    ['a zero byte', 'a,0\nb\0,1', /line 2: expected text, found a zero byte\.$/],
    ['UTF-16', Buffer.from('\ufeffa,0\n', 'utf16le'), /line 1: expected UTF-8, found UTF-16\.$/],
    ['a long line', `a,0\n${'x'.repeat(70_000)}`, /line 2: expected lines of at most 65,536 bytes, found a longer/],
    ['nothing', '# nothing\n\n', /list\.csv: expected lines of a path and a label, found none\.$/],
  ];
  for (const [what, text, sentence] of bad) {
    it(`names ${what}`, async () => assert.match(await refusal(openSet('list', write(text))), sentence));
  }

  it('names what is no list', async () => {
    assert.match(await refusal(openSet('list', join(root, 'no'))), /^cannot read .*\/no: there is no such file\.$/);
    assert.match(await refusal(openSet('list', root)), /: expected a file, found a folder\.$/);
    assert.equal(
      await refusal(openSet('list', write('a 0'), { split: 'test' }), 'E_CONFIG'),
      "a list has no splits: expected none, found 'test'.",
    );
    assert.match(
      await refusal(openSet('list', write('a 0'), { labels: 'x' }), 'E_CONFIG'),
      /^A list takes no option 'labels'/,
    );
  });
});
