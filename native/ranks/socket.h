// TCP connections between ranks.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace mode_ensemble {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// This machine's address as `host` sees it.
std::string address_towards(const std::string& host, int64_t port);

// Listens at this address, at a port that the system chooses.
Socket listen_at(const std::string& address, int64_t& port);
// Throws Error(device) where nobody connects within a few minutes.
Socket accept_from(const Socket& listener);
Socket connect_to(const std::string& address, int64_t port);

// One connection out, one in: sends and receives at the same time, until both are done. Throws Error(device)
// with `out_name` or `in_name` where a side has gone.
struct Exchange {
  const Socket* out = nullptr;
  const void* send = nullptr;
  int64_t send_bytes = 0;
  const Socket* in = nullptr;
  void* receive = nullptr;
  int64_t receive_bytes = 0;
  std::string out_name, in_name;
};
void exchange(const Exchange& what);

}  // namespace mode_ensemble
