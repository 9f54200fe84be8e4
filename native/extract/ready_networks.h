// Networks made ready for evaluation, which one job leaves to the next.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/network.h"
#include "runtime/context.h"
#include "runtime/memory.h"

namespace mode_ensemble {

// While one lives, the networks of a job that ended well and its large blocks of memory stay for the next
// job: the sets of an evaluation go through the same networks one after the other. Any thread.
class BetweenJobs {
 public:
  BetweenJobs();
  ~BetweenJobs();
  BetweenJobs(const BetweenJobs&) = delete;
  BetweenJobs& operator=(const BetweenJobs&) = delete;

 private:
  MemoryReuse memory_;  // goes after the networks
};

// The networks of one job.
class ReadyNetworks {
 public:
  struct Wanted {
    const ArchOptions& arch;
    const std::string& checkpoint;
    bool gradients = false;  // of the images
  };

  // Those that the job before has left are taken from it, where the file is still the same; its others go
  // before any is opened. Throws as open_network, and Error(aborted).
  ReadyNetworks(const std::vector<Wanted>& wanted, const Compute& compute, JobContext& context);
  size_t size() const { return networks_.size(); }
  Network& operator[](size_t index) const { return *networks_[index].network; }
  // See graph_memory.h.
  int64_t most_images_with_graph(size_t index, int64_t side);
  // At the end of a job that went well. One that failed may have left a network half laid out.
  void leave();

 private:
  struct Ready {
    std::string key;         // empty: not to be kept
    bool gradients = false;  // serves those who want none too, to the same bits
    std::unique_ptr<Network> network;
    std::map<int64_t, int64_t> most_images;  // by side
  };
  friend class BetweenJobs;
  struct Left;
  static Left& left();

  const Compute& compute_;
  std::vector<Ready> networks_;
};

}  // namespace mode_ensemble
