#include "ranks/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// A peer that has ended shows at once; a machine that is gone, after 10 + 3 × 5 seconds.
constexpr int kIdleSeconds = 10, kProbeSeconds = 5, kProbes = 3;
constexpr int kJoinMilliseconds = 300'000;

[[noreturn]] void fail(const std::string& sentence, int error) {
  throw Error(ErrorCode::device, sentence + ": " + std::strerror(error) + ".");
}

struct Addresses {
  Addresses(const std::string& host, int64_t port, int type, int flags) {
    addrinfo hints{};
    hints.ai_socktype = type;
    hints.ai_flags = flags;
    const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &first);
    if (code != 0)
      throw Error(ErrorCode::device, host + ": no address is known: " + gai_strerror(code) + ".");
  }
  ~Addresses() { freeaddrinfo(first); }
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  addrinfo* first = nullptr;
};

void set(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

Socket made_ready(Socket socket) {
  const int fd = socket.fd();
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeSeconds);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
#endif
#ifdef TCP_USER_TIMEOUT
  // The same for bytes that are sent and never acknowledged.
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (kIdleSeconds + kProbes * kProbeSeconds) * 1000);
#endif
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return socket;
}

[[noreturn]] void gone(const std::string& name, int error) {
  const auto why = error == 0 ? "" : std::string(" (") + std::strerror(error) + ")";
  throw Error(ErrorCode::device, name + " has ended before the others" + why + ".");
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

std::string address_towards(const std::string& host, int64_t port) {
  // A datagram socket finds its way without sending anything.
  const Addresses addresses(host, port, SOCK_DGRAM, 0);
  for (auto* at = addresses.first; at; at = at->ai_next) {
    const Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    std::array<char, 256> text{};
    if (socket.fd() < 0 || connect(socket.fd(), at->ai_addr, at->ai_addrlen) != 0) continue;
    if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &length) != 0) continue;
    if (getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0)
      return text.data();
  }
  fail(host + ": there is no way to it from here", errno);
}

Socket listen_at(const std::string& address, int64_t& port) {
  const Addresses addresses(address, 0, SOCK_STREAM, AI_PASSIVE | AI_NUMERICHOST);
  const auto* at = addresses.first;
  Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  if (socket.fd() < 0 || bind(socket.fd(), at->ai_addr, at->ai_addrlen) != 0 || listen(socket.fd(), 8) != 0 ||
      getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &length) != 0)
    fail(address + ": no port can be opened", errno);
  port = ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port
                                         : reinterpret_cast<sockaddr_in*>(&own)->sin_port);
  return socket;
}

Socket accept_from(const Socket& listener) {
  pollfd waiting{listener.fd(), POLLIN, 0};
  int ready = 0;
  do ready = poll(&waiting, 1, kJoinMilliseconds);
  while (ready < 0 && errno == EINTR);
  if (ready <= 0) fail("The other ranks did not connect", ready == 0 ? ETIMEDOUT : errno);
  const int fd = accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) fail("Another rank could not connect", errno);
  return made_ready(Socket(fd));
}

Socket connect_to(const std::string& address, int64_t port) {
  const Addresses addresses(address, port, SOCK_STREAM, AI_NUMERICHOST);
  const auto* at = addresses.first;
  Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
  if (socket.fd() < 0 || connect(socket.fd(), at->ai_addr, at->ai_addrlen) != 0)
    fail(address + ", port " + std::to_string(port) + ": another rank cannot be reached", errno);
  return made_ready(std::move(socket));
}

void exchange(const Exchange& what) {
  const auto* from = static_cast<const uint8_t*>(what.send);
  auto* to = static_cast<uint8_t*>(what.receive);
  int64_t left_out = what.send_bytes, left_in = what.receive_bytes;
  while (left_out > 0 || left_in > 0) {
    std::array<pollfd, 2> waiting{};
    waiting[0] = {left_out > 0 ? what.out->fd() : -1, POLLOUT, 0};
    waiting[1] = {left_in > 0 ? what.in->fd() : -1, POLLIN, 0};
    if (poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno == EINTR) continue;
      fail("The other ranks cannot be waited for", errno);
    }
    if (waiting[1].revents != 0) {
      const ssize_t n = recv(what.in->fd(), to, static_cast<size_t>(left_in), 0);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) gone(what.in_name, n == 0 ? 0 : errno);
      if (n > 0) to += n, left_in -= n;
    }
    if (waiting[0].revents != 0) {
      const ssize_t n = send(what.out->fd(), from, static_cast<size_t>(left_out), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN && errno != EINTR) gone(what.out_name, errno);
      if (n > 0) from += n, left_out -= n;
    }
  }
}

}  // namespace mode_ensemble
