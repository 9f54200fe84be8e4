// Trains a curve between two modes along which the loss stays low; the fields of
// lib/native/contract-landscape.ts.
#pragma once
#include <array>
#include <string>

#include "landscape/surface.h"
#include "runtime/context.h"
#include "train/options.h"

namespace mode_ensemble {

struct CurveOptions {
  std::array<std::string, 2> ends;  // checkpoints
  std::string kind;                 // bezier | chain
  // How the bend is trained and where it goes. Of what is not said here (test, ema, ranks, evaluate) nothing
  // is used.
  TrainOptions training;
  StatisticsOptions statistics;  // of the bend that is kept
  int64_t memory = 0;            // bytes that images held for them may take
};

struct CurveResult {
  double loss = 0, accuracy = 0;  // of the last epoch's training images, in percent
  double seconds = 0;
};

// Of the first end, the bend and the second end, at t from 0 to 1. Throws Error(config) for another kind.
std::array<double, 3> curve_coefficients(const std::string& kind, double t);

// Garipov et al., NeurIPS 2018, arXiv 1802.10026: the ends stay, the bend between them begins in their
// middle; each batch is seen by the network at one t drawn evenly from 0 to 1. As in their code, weight decay
// acts on the network at t.
CurveResult train_curve(const CurveOptions& options, JobContext& context);

}  // namespace mode_ensemble
