#include "extract/ready_networks.h"

#include <algorithm>
#include <mutex>
#include <sstream>

#include "checkpoint/weights.h"
#include "data/file_set.h"
#include "models/graph_memory.h"

namespace mode_ensemble {
namespace {

// What a network was made from and for; empty where it cannot be told or is not to be kept.
std::string key_of(const ReadyNetworks::Wanted& wanted, const Compute& compute) {
  // A GPU's memory is asked for by others between two jobs.
  if (compute.on_gpu()) return "";
  const auto file = dependency_of("", wanted.checkpoint);
  if (file.modified == 0) return "";
  const auto& [name, width, classes, dropout] = wanted.arch;
  std::ostringstream key;
  key << name << '/' << width << '/' << classes << '/' << dropout << '/' << compute.type << '/'
      << compute.plain << '/' << file.inode << '/' << file.size << '/' << file.modified << '/'
      << wanted.checkpoint;
  return key.str();
}

}  // namespace

struct ReadyNetworks::Left {
  std::mutex mutex;
  int keepers = 0;
  std::vector<Ready> networks;
};

// Never destroyed: jobs may end while the process does.
ReadyNetworks::Left& ReadyNetworks::left() {
  static auto* const instance = new Left;
  return *instance;
}

BetweenJobs::BetweenJobs() {
  auto& left = ReadyNetworks::left();
  const std::lock_guard lock(left.mutex);
  ++left.keepers;
}

BetweenJobs::~BetweenJobs() {
  std::vector<ReadyNetworks::Ready> gone;
  auto& left = ReadyNetworks::left();
  const std::lock_guard lock(left.mutex);
  if (--left.keepers == 0) gone.swap(left.networks);
}

ReadyNetworks::ReadyNetworks(const std::vector<Wanted>& wanted, const Compute& compute, JobContext& context)
    : compute_(compute), networks_(wanted.size()) {
  {
    std::vector<Ready> before;
    const std::lock_guard lock(left().mutex);
    before.swap(left().networks);
    for (size_t i = 0; i < wanted.size(); ++i) {
      networks_[i].key = key_of(wanted[i], compute);
      networks_[i].gradients = wanted[i].gradients;
      const auto found = std::find_if(before.begin(), before.end(), [&](const Ready& ready) {
        return ready.network && ready.key == networks_[i].key && ready.gradients >= wanted[i].gradients;
      });
      if (found != before.end()) networks_[i] = std::move(*found);
    }
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    context.throw_if_aborted();
    auto& network = networks_[i].network;
    if (network) continue;
    network = open_network(wanted[i].arch, wanted[i].checkpoint);
    network->to_device(compute.device);
    network->prepare({compute, wanted[i].gradients});
  }
}

int64_t ReadyNetworks::most_images_with_graph(size_t index, int64_t side) {
  auto& [key, gradients, network, most_images] = networks_[index];
  const auto found = most_images.find(side);
  if (found != most_images.end()) return found->second;
  return most_images[side] = mode_ensemble::most_images_with_graph(*network, side, compute_);
}

void ReadyNetworks::leave() {
  std::vector<Ready> own;
  own.swap(networks_);
  const std::lock_guard lock(left().mutex);
  if (left().keepers == 0) return;
  for (auto& ready : own)
    if (!ready.key.empty()) left().networks.push_back(std::move(ready));
}

}  // namespace mode_ensemble
