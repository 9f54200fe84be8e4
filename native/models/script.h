// A network that somebody else exported as TorchScript: the file holds its code and its weights.
#pragma once
#include <memory>
#include <string>

#include "models/network.h"

namespace mode_ensemble {

// ArchOptions::name of such networks; the file is the checkpoint.
inline constexpr const char* kScript = "script";

// Its forward takes [N, 3, H, W] and returns logits [N, C], or a tuple of them and a feature ([N, D], or a
// map [N, D, H, W], which is averaged over space). Error(checkpoint) where the file is no TorchScript module,
// or returns anything else. Only what such a network returns is known of it: no stages, no head, no training.
// The module's code is run, in LibTorch's interpreter: the user named the file as a program.
std::unique_ptr<Network> load_script(const std::string& path);

}  // namespace mode_ensemble
