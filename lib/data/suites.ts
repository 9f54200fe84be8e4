/**
 * The suites: an in-distribution set and what it is set against, by one name and from one folder. InD and OoD sets of
 * `cifar10` and `imagenet` are those of Fang et al. 2024.
 *
 * Where sizes and checksums are from: the sets' own pages (CIFAR, ImageNet); torchvision's classes of that name (CIFAR,
 * SVHN, DTD, ImageNet, Places365); pytorch-ood and detectors, which download the same archives (LSUN, iSUN, iNaturalist,
 * SUN, Places). What is published nowhere is left out.
 */
import { ConfigError } from '../config/errors.js';
import { suggestion } from '../config/suggest.js';
import type { ReaderName, TransformOptions } from '../native/contract.js';
import type { Split } from './spec.js';

/** Where a set may lie, and what reads it there. */
export interface Place {
  reader: ReaderName;
  /** Relative to the suite's folder. For `builtin` the name of the built-in set. */
  path: string;
  /** What lies in the place where the set (or its test part) does; default: the place itself is enough. */
  mark?: string;
  /** The same for the train part of an in-distribution set. */
  trainMark?: string;
  split?: Split;
  /** Images here, where they are not as many as elsewhere. */
  images?: number;
}

/** What there is to download. */
export interface Archive {
  name: string;
  url: string;
  bytes?: number;
  md5?: string;
}

export interface SuiteSet {
  /** What results call it. */
  name: string;
  /** Images of the whole set; of an in-distribution set's test part. */
  images: number;
  /** Images of an in-distribution set's train part. */
  trainImages?: number;
  /** In the order in which they are looked for; the first is where the set belongs. */
  places: readonly Place[];
  archives: readonly Archive[];
  note?: string;
}

export interface Suite {
  name: string;
  aliases: readonly string[];
  title: string;
  in: SuiteSet;
  out: readonly SuiteSet[];
  /** For networks that do not say their own. */
  transform: TransformOptions;
}

/** Folders of images, and beside each a tar of the same name. */
function images(...paths: string[]): Place[] {
  return paths.flatMap((path): Place[] => {
    const folder: Place = { reader: 'folder', path };
    return path.includes('/') ? [folder] : [folder, { reader: 'tar', path: `${path}.tar` }];
  });
}

/** One reader's layouts, each told by a file of its test and one of its train part, in every one of the folders. */
function layouts(
  reader: ReaderName,
  folders: readonly string[],
  marks: readonly (readonly [string, string])[],
): Place[] {
  return folders.flatMap((path) => marks.map(([mark, trainMark]): Place => ({ reader, path, mark, trainMark })));
}

const CIFAR10: SuiteSet = {
  name: 'CIFAR-10',
  images: 10_000,
  trainImages: 50_000,
  places: layouts(
    'cifar10',
    [
      'cifar-10-batches-bin',
      'cifar-10-batches-py',
      ...['cifar10', 'CIFAR10', 'cifar-10', 'CIFAR-10'].flatMap((folder) => [
        `${folder}/cifar-10-batches-bin`,
        `${folder}/cifar-10-batches-py`,
        folder,
      ]),
      '.',
    ],
    [
      ['test_batch.bin', 'data_batch_1.bin'],
      ['test_batch', 'data_batch_1'],
    ],
  ),
  archives: [
    {
      name: 'cifar-10-binary.tar.gz',
      url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
      bytes: 170_052_171,
      md5: 'c32a1d4ab5d03f1284b67883e8d87530',
    },
    {
      name: 'cifar-10-python.tar.gz',
      url: 'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz',
      bytes: 170_498_071,
      md5: 'c58f30108f718f92721af3b95e74349a',
    },
  ],
  note: 'either archive will do',
};

const CIFAR100: SuiteSet = {
  name: 'CIFAR-100',
  images: 10_000,
  trainImages: 50_000,
  places: layouts(
    'cifar100',
    [
      'cifar-100-binary',
      'cifar-100-python',
      ...['cifar100', 'CIFAR100', 'cifar-100', 'CIFAR-100'].flatMap((folder) => [
        `${folder}/cifar-100-binary`,
        `${folder}/cifar-100-python`,
        folder,
      ]),
      '.',
    ],
    [
      ['test.bin', 'train.bin'],
      ['test', 'train'],
    ],
  ).filter(({ path, mark }) => path !== '.' || mark === 'test.bin'), // any folder may hold a `test`
  archives: [
    {
      name: 'cifar-100-binary.tar.gz',
      url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
      bytes: 168_513_733,
      md5: '03b5dce01913d631647c71ecec9e9cb8',
    },
    {
      name: 'cifar-100-python.tar.gz',
      url: 'https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz',
      bytes: 169_001_437,
      md5: 'eb9058c3a382ffc7106e4002c42a8d85',
    },
  ],
  note: 'either archive will do',
};

const IMAGENET: SuiteSet = {
  name: 'ImageNet-1K',
  images: 50_000,
  trainImages: 1_281_167,
  places: layouts(
    'imagenet',
    [
      ...['imagenet', 'ImageNet', 'imagenet-1k', 'ImageNet-1K', 'ILSVRC2012', 'ILSVRC-2012', 'ILSVRC/Data/CLS-LOC'],
      '.',
    ],
    [['val', 'train']],
  ),
  archives: [
    {
      name: 'ILSVRC2012_img_val.tar',
      url: 'https://image-net.org/challenges/LSVRC/2012/',
      bytes: 6_744_924_160,
      md5: '29b22e2961454d5413ddabcf34fc5622',
    },
    {
      name: 'ILSVRC2012_img_train.tar',
      url: 'https://image-net.org/challenges/LSVRC/2012/',
      bytes: 147_897_477_120,
      md5: '1d675b47d978889d74fa0da5fadfb00e',
    },
  ],
  note: 'as train/<wnid>/*.JPEG and val/<wnid>/*.JPEG',
};

const SVHN: SuiteSet = {
  name: 'SVHN',
  images: 26_032,
  places: ['svhn', 'SVHN', '.'].map((path) => ({ reader: 'svhn', path, mark: 'test_32x32.mat', split: 'test' })),
  archives: [
    {
      name: 'test_32x32.mat',
      url: 'http://ufldl.stanford.edu/housenumbers/test_32x32.mat',
      bytes: 64_275_384,
      md5: 'eb5a983be6a315427106f1b164d9cef3',
    },
  ],
};

// The archive unpacks to LSUN/; LSUN_resize is another set and must not be taken for this one.
const LSUN: SuiteSet = {
  name: 'LSUN',
  images: 10_000,
  places: images('LSUN', 'LSUN_C', 'LSUN-C', 'LSUN_crop', 'LSUN_croped', 'lsun', 'lsun_c', 'lsun_crop'),
  archives: [
    {
      name: 'LSUN.tar.gz',
      url: 'https://www.dropbox.com/s/fhtsw1m3qxlwj6h/LSUN.tar.gz',
      md5: '458a0a0ab8e5f1cb4516d7400568e460',
    },
  ],
  note: 'LSUN (crop) of ODIN; LSUN_resize is another set',
};

const ISUN: SuiteSet = {
  name: 'iSUN',
  images: 8_925,
  places: images('iSUN', 'isun', 'ISUN'),
  archives: [
    {
      name: 'iSUN.tar.gz',
      url: 'https://www.dropbox.com/s/ssz7qxfqae0cca5/iSUN.tar.gz',
      md5: 'be77b0f2c26fda898afac5f99645ee70',
    },
  ],
};

const TEXTURES: SuiteSet = {
  name: 'Textures',
  images: 5_640,
  places: [
    ...images('dtd/images', 'dtd/dtd/images', 'Textures/images', 'Textures/dtd/images', 'textures/images'),
    { reader: 'folder', path: 'dtd', mark: 'banded' },
    ...images('Textures', 'textures', 'Texture', 'texture'),
  ],
  archives: [
    {
      name: 'dtd-r1.0.1.tar.gz',
      url: 'https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz',
      bytes: 625_239_812,
      md5: 'fff73e5086ae6bdbea199a49dfb8a4c1',
    },
  ],
  note: 'all images of DTD',
};

// Of the 328,500 test images, 10,000 drawn at random are what is usual against CIFAR (energy, kNN and later papers).
const PLACES365: SuiteSet = {
  name: 'Places365',
  images: 10_000,
  places: [
    { reader: 'folder', path: 'places365/test_subset' },
    { reader: 'folder', path: 'places365/val_256', images: 36_500 },
    { reader: 'folder', path: 'val_256', images: 36_500 },
    // Not `Places`, which is another choice of images: see the suite imagenet.
    ...images('places365', 'Places365', 'places'),
  ],
  archives: [
    {
      name: 'test_256.tar',
      url: 'http://data.csail.mit.edu/places/places365/test_256.tar',
      md5: 'f532f6ad7b582262a2ec8009075e186b',
    },
    {
      name: 'val_256.tar',
      url: 'http://data.csail.mit.edu/places/places365/val_256.tar',
      bytes: 525_158_400,
      md5: 'e27b17d8d44f4af9a78502beb927f808',
    },
  ],
  note: '10,000 drawn from the test images, or all 36,500 of val_256',
};

/** The 10,000 images each that Huang and Li (MOS, CVPR 2021) chose so that none shows a class of ImageNet-1K. */
function chosenByMos(name: string, archive: string, md5: string, folders: readonly string[]): SuiteSet {
  const url = `http://pages.cs.wisc.edu/~huangrui/imagenet_ood_dataset/${archive}`;
  return {
    name,
    images: 10_000,
    places: [...images(...folders.map((folder) => `${folder}/images`)), ...images(...folders)],
    archives: [{ name: archive, url, md5 }],
  };
}

/** Drawn when they are read; nothing has to be downloaded. */
function builtin(path: string): SuiteSet {
  return { name: path, images: 2_000, places: [{ reader: 'builtin', path }], archives: [] };
}

const CIFAR_OUT = [SVHN, LSUN, ISUN, TEXTURES, PLACES365];

const CIFAR_TRANSFORM: TransformOptions = {
  resize: 32,
  fit: 'both',
  filter: 'bilinear',
  crop: 32,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
};

const IMAGENET_TRANSFORM: TransformOptions = {
  resize: 256,
  fit: 'short',
  filter: 'bilinear',
  crop: 224,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

export const SUITES: readonly Suite[] = [
  {
    name: 'cifar10',
    aliases: ['CIFAR-10'],
    title: 'CIFAR-10 against SVHN, LSUN (crop), iSUN, Textures and Places365',
    in: CIFAR10,
    out: CIFAR_OUT,
    transform: CIFAR_TRANSFORM,
  },
  {
    name: 'cifar100',
    aliases: ['CIFAR-100'],
    title: 'CIFAR-100 against the same',
    in: CIFAR100,
    out: CIFAR_OUT,
    transform: CIFAR_TRANSFORM,
  },
  {
    name: 'imagenet',
    aliases: ['ImageNet-1K', 'ILSVRC2012'],
    title: 'ImageNet-1K against iNaturalist, SUN, Places and Textures',
    in: IMAGENET,
    out: [
      chosenByMos('iNaturalist', 'iNaturalist.tar.gz', '5be6ea8aa027d7b631916427b32cb335', [
        'iNaturalist',
        'inaturalist',
      ]),
      chosenByMos('SUN', 'SUN.tar.gz', '8469c3ada62211477954ec1be53b12d0', ['SUN', 'sun']),
      chosenByMos('Places', 'Places.tar.gz', 'b5cb5eba2754ae2a28beea8718db699a', ['Places']),
      TEXTURES,
    ],
    transform: IMAGENET_TRANSFORM,
  },
  {
    name: 'builtin',
    aliases: ['shapes'],
    title: 'shapes against the other built-in sets, which are drawn, not downloaded',
    in: { ...builtin('shapes'), trainImages: 10_000 },
    out: ['blends', 'unseen', 'textures', 'strokes'].map(builtin),
    transform: CIFAR_TRANSFORM,
  },
];

/**
 * Finds a suite by name or alias, in any case.
 *
 * @param where the flag or field that errors name
 * @throws ConfigError that suggests the nearest
 */
export function getSuite(name: string, where = 'suite'): Suite {
  const wanted = name.trim().toLowerCase();
  const found = SUITES.find((suite) => [suite.name, ...suite.aliases].some((known) => known.toLowerCase() === wanted));
  if (found) return found;
  const near = suggestion(
    wanted,
    SUITES.map((suite) => suite.name),
  );
  throw new ConfigError(`${where}: unknown suite "${name}"; ${near}`);
}
