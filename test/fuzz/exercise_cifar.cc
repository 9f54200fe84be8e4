// Any bytes as a batch of the Python layout of CIFAR, and as its file of names.
#include "data/cifar.h"
#include "exercise.h"
#include "runtime/error.h"

using namespace mode_ensemble;

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  const auto source = make_memory_source(name, {data, data + size}, ErrorCode::data);
  std::string first;
  bool read = false;
  const auto attempt = [&](auto&& action) {
    try {
      action();
      read = true;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::data) throw;
      if (first.empty()) first = error.what();
    }
  };
  for (const CifarSet* set : {&kCifar10, &kCifar100}) {
    std::vector<uint8_t> records;
    attempt([&] { read_cifar_pickle(*set, set->usual_labels, *source, records); });
    attempt([&] { read_cifar_meta(*set, set->usual_labels, *source); });
  }
  return read ? "" : first;
}
