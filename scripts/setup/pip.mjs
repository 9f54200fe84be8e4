/** What pip is asked for, and what its answers mean. */

const CPU_INDEX = 'https://download.pytorch.org/whl/cpu';

/**
 * Where to ask, in order. `guard` asks first what would come: on Linux the plain index gives the CUDA build, which is large
 * and of no use to the CPU variant.
 */
export function pipAttempts({ version, variant, platform }) {
  const plain = `torch==${version}`;
  if (variant === 'cuda') return [{ label: "pip's own index", index: 'own', spec: plain, args: [], guard: false }];
  const attempts = [
    {
      label: "PyTorch's CPU index",
      index: 'cpu',
      spec: plain,
      args: ['--no-deps', '--index-url', CPU_INDEX],
      guard: false,
    },
  ];
  if (platform === 'linux') {
    attempts.push({
      label: "pip's own index, CPU build",
      index: 'own',
      spec: `${plain}+cpu`,
      args: ['--no-deps'],
      guard: false,
    });
  }
  attempts.push({
    label: "pip's own index",
    index: 'own',
    spec: plain,
    args: ['--no-deps'],
    guard: platform === 'linux',
  });
  return attempts;
}

/** Why pip failed: 'room', 'network', 'none' (no wheel fits), or 'other'. */
export function classify(output) {
  if (/No space left on device|Errno 28|Disk quota exceeded|Errno 122/.test(output)) return 'room';
  const network =
    /Failed to establish a new connection|ConnectTimeout|Read ?timed out|ReadTimeout|Connection(?: was)? (?:aborted|refused|reset|broken)|ProxyError|Cannot connect to proxy|SSLError|CERTIFICATE_VERIFY_FAILED|Could not fetch URL|Network is unreachable|Temporary failure in name resolution|IncompleteRead|ConnectionResetError|HTTPError: 5\d\d/i;
  if (network.test(output)) return 'network';
  return /No matching distribution found/.test(output) ? 'none' : 'other';
}

/** Whether pip's report of what it would install is a build that needs NVIDIA's packages. */
export function cudaBuildOffered(report) {
  const needs = report?.install?.[0]?.metadata?.requires_dist ?? [];
  return needs.some((need) => /^(nvidia-|cuda-|triton\b)/.test(need) && !/extra\s*==/.test(need));
}

/** Other CPythons whose wheels are worth asking for. */
export function otherPythons(own) {
  const mine = own.split('.').slice(0, 2).join('.');
  return ['3.12', '3.11', '3.13', '3.10', '3.14'].filter((version) => version !== mine);
}
