#include "ranks/ranks.h"

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

class OneRank final : public Ranks {
 public:
  OneRank() : Ranks(0, 1) {}
  void sum(float*, int64_t) override {}
  void sum(double*, int64_t) override {}
  void broadcast(void*, int64_t) override {}
};

constexpr int64_t kLongestText = int64_t{1} << 24;

}  // namespace

std::shared_ptr<Ranks> one_rank() { return std::make_shared<OneRank>(); }

std::shared_ptr<Ranks> join_ranks(const JoinOptions& options) {
  if (options.kind == "mpi") return join_by_mpi();
  if (options.size < 1 || options.rank < 0 || options.rank >= options.size)
    throw Error(ErrorCode::config, "rank: expected 0 to " + std::to_string(options.size - 1) + ", found " +
                                       std::to_string(options.rank) + ".");
  return options.size == 1 ? one_rank() : join_by_tcp(options);
}

std::string share_text(Ranks& ranks, std::string text) {
  auto length = static_cast<int64_t>(text.size());
  ranks.broadcast(&length, sizeof length);
  if (length < 0 || length > kLongestText)
    throw Error(ErrorCode::device, "Rank 0 sends a text of " + std::to_string(length) +
                                       " bytes; another program answers at its address.");
  text.resize(static_cast<size_t>(length));
  ranks.broadcast(text.data(), length);
  return text;
}

}  // namespace mode_ensemble
