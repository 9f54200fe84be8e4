/** Debian's Chromium, driven by playwright-core: for tests of pages that have to be seen to be believed. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

const PLACES = [
  process.env.MODE_ENSEMBLE_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

export const browserPath = PLACES.find((path) => path !== undefined && existsSync(path));

/** Why tests are skipped; false where they are not. */
export const withoutBrowser =
  browserPath === undefined
    ? 'no Chromium: install the Debian package chromium, or name one in MODE_ENSEMBLE_CHROMIUM'
    : false;

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Of the browser's start and of each step: the first start on a fresh machine reads all of it from a cold disk. */
const TIMEOUT_MS = 180_000;

/** A page, and what it did that it should not do. */
export interface Watched {
  page: Page;
  /** Errors and warnings of the console, and exceptions. */
  complaints: string[];
  /** Addresses asked for, but data: ones. */
  requests: string[];
}

export interface Look {
  colorScheme?: 'light' | 'dark';
  width?: number;
  hasScripts?: boolean;
}

/** Runs a test in a browser of its own, with a fresh profile that is removed afterwards. */
export async function withPage(look: Look, test: (watched: Watched) => Promise<void>): Promise<void> {
  const { colorScheme = 'light', width = 1280, hasScripts = true } = look;
  const profile = mkdtempSync(join(tmpdir(), 'mode-ensemble-browser-'));
  let context: BrowserContext | undefined;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: browserPath as string,
      headless: true,
      timeout: TIMEOUT_MS,
      args: FLAGS,
      colorScheme,
      viewport: { width, height: 900 },
      javaScriptEnabled: hasScripts,
      acceptDownloads: true,
    });
    context.setDefaultTimeout(TIMEOUT_MS);
    const page = context.pages()[0] ?? (await context.newPage());
    const watched: Watched = { page, complaints: [], requests: [] };
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) watched.complaints.push(message.text());
    });
    page.on('pageerror', (error) => watched.complaints.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith('data:')) watched.requests.push(request.url());
    });
    await test(watched);
  } finally {
    await context?.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
