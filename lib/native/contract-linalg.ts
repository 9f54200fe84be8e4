/** The part of the addon's contract (contract.ts) that computes over stored features. */

/** Exact k-nearest-neighbour distances over stored features, fused over members before they are normalised. */
export interface NeighboursOptions {
  /** One feature file a member. */
  bank: string[];
  /** For each data set, one feature file a member, in the order of `bank`. */
  queries: string[][];
  /** Name of the tensor [N, D] to read in each file. */
  tensor: string;
  k: number;
  threads: number;
  /** MiB that the part of the bank may take which is in memory at a time, with its codes; queries come besides. */
  memory: number;
}

export interface NeighboursResult {
  /** For each data set, squared L2 distance of each row to its k-th nearest row of the bank. */
  distances: Float32Array[];
  /** What the search took, for the benchmark. */
  search?: {
    /** Numbers that stand for a row in the first comparison. */
    width: number;
    /** Pairs of a query and a row of the bank. */
    pairs: number;
    /** Those that the first comparison let through. */
    passed: number;
    /** Those of which the distance was computed. */
    computed: number;
  };
}

/**
 * Class means and one shared covariance for each stage, over the mean of the members' features, in float64. Phases of
 * progress: `means`, `covariance`. E_DATA where a class has no image; E_NUMERIC where a feature is NaN or infinite.
 */
export interface FitGaussiansOptions {
  /** One feature file a member, of the same images; the labels are the first one's. */
  train: string[];
  /** Names of the tensors [N, D_k], float32 or float16. */
  stages: string[];
  classes: number;
  /**
   * Safetensors file to write (whole or not at all), float64: for each stage `NAME.means` [C, D] and `NAME.whitening`
   * [r, D], a factor of the covariance's pseudo-inverse: precision = whiteningᵀ·whitening.
   */
  output: string;
  /** Goes into the file's `__metadata__` as it is. */
  metadata: Record<string, string>;
  threads: number;
}

export interface FitGaussiansResult {
  stages: {
    stage: string;
    /** D. */
    width: number;
    /** Of the covariance; below `width` where it is singular, and the pseudo-inverse stands in for the inverse. */
    rank: number;
    /** Largest by smallest of the eigenvalues that count; 0 where the rank is 0. */
    condition: number;
  }[];
}

/** The Mahalanobis distance to the closest class, for each row and stage. Phase of progress: `distances`. */
export interface GaussianScoresOptions {
  /** What fitGaussians wrote. */
  statistics: string;
  /** For each data set, one feature file a member: the mean over them is taken. */
  sets: string[][];
  /** Names of the tensors, all of them in `statistics`. */
  stages: string[];
  threads: number;
}

export interface GaussianScoresResult {
  /** For each data set, row-major: max_c −½(f − μ_c)ᵀP(f − μ_c). // [N, stages] */
  scores: Float64Array[];
}
