// What registry.cc opens, and what the readers share.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/reader.h"

namespace mode_ensemble {

std::shared_ptr<const Reader> open_cifar10(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_cifar100(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_npy(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_svhn(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_folder(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_imagenet(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_list(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_tar(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_made_up(const OpenDataOptions& options, const Tick& tick);
std::shared_ptr<const Reader> open_builtin(const OpenDataOptions& options, const Tick& tick);

inline void report(const Tick& tick, int64_t done, int64_t total) {
  if (tick) tick(done, total);
}

// "a, b and 3 more", quoted; for messages that say what is there.
std::string listed(const std::vector<std::string>& names, size_t at_most = 8);

// Of all that is in a folder, sorted.
std::vector<std::string> names_in(const std::string& folder);

// The folders that may hold a split: `val` is another name for `test`.
std::vector<std::string> split_names(const std::string& split);

// Throws Error(config) for an option that is set and that the reader called `what` does not use.
void refuse_options(const OpenDataOptions& options, const std::string& what, bool uses_labels = false,
                    bool uses_root = false);

// Throws Error(data) where a folder is missing, no folder, or cannot be listed. `what` it is for, as in
// "CIFAR-10".
void require_folder(const std::string& path, const std::string& what);

}  // namespace mode_ensemble
