#include "models/registry.h"

#include <functional>

#include "models/cifar_resnet.h"
#include "models/network.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

struct Row {
  ArchitectureInfo info;
  std::function<std::unique_ptr<Network>(const ArchOptions&, uint64_t seed)> make;
};

// CIFAR-10 statistics as the reference uses them (method.md of the paper's code: mean and std of the training
// set).
constexpr std::array<double, 3> kCifarMean{0.4914, 0.4822, 0.4465};
constexpr std::array<double, 3> kCifarStd{0.2470, 0.2435, 0.2616};

const std::vector<Row>& table() {
  static const std::vector<Row> rows{
      {{"cifar-resnet18", {"R18"}, 64, 32, {64, 64, 128, 256, 512}, kCifarMean, kCifarStd},
       [](const ArchOptions& arch, uint64_t seed) { return make_cifar_resnet(arch, {2, 2, 2, 2}, seed); }},
  };
  return rows;
}

}  // namespace

std::vector<ArchitectureInfo> architectures() {
  std::vector<ArchitectureInfo> infos;
  for (const auto& row : table()) infos.push_back(row.info);
  return infos;
}

std::unique_ptr<Network> make_network(const ArchOptions& arch, uint64_t seed) {
  if (arch.width < 1 || arch.width > 4096)
    throw Error(ErrorCode::config, "width: expected 1 to 4096, found " + std::to_string(arch.width) + ".");
  if (arch.classes < 1 || arch.classes > 1000000)
    throw Error(ErrorCode::config,
                "classes: expected 1 to 1000000, found " + std::to_string(arch.classes) + ".");
  for (const auto& row : table())
    if (row.info.name == arch.name) return row.make(arch, seed);
  throw Error(ErrorCode::config, "arch: there is no architecture \"" + arch.name + "\".");
}

}  // namespace mode_ensemble
