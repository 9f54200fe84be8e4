// The table of readers. A new one: a file beside this, its open function in readers.h, a row here.
#include "data/reader.h"
#include "data/readers.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

struct Row {
  const char* name;
  std::shared_ptr<const Reader> (*open)(const OpenDataOptions&, const Tick&);
};

constexpr Row kReaders[] = {
    {"builtin", open_builtin}, {"cifar10", open_cifar10},   {"cifar100", open_cifar100},
    {"folder", open_folder},   {"imagenet", open_imagenet}, {"list", open_list},
    {"npy", open_npy},         {"svhn", open_svhn},         {"tar", open_tar},
    {"made-up", open_made_up},
};

}  // namespace

std::shared_ptr<const Reader> open_reader(const OpenDataOptions& options, const Tick& tick) {
  std::vector<std::string> names;
  for (const Row& row : kReaders) {
    if (options.reader == row.name) return row.open(options, tick);
    names.push_back(row.name);
  }
  throw Error(ErrorCode::config,
              "unknown reader '" + options.reader + "': expected one of " + listed(names) + ".");
}

}  // namespace mode_ensemble
