// Stands in for libFuzzer where there is no clang: replays a corpus, then changes its inputs at random for
// some seconds. The same seed gives the same inputs. Usage: driver [-max_total_time=N] [-seed=N]
// [-max_len=N] [-artifact_prefix=DIR/] [-dict=FILE] CORPUS… (names as libFuzzer's)
#include <signal.h>
#include <sys/time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

namespace {

constexpr int kHangSeconds = 20;
std::string current, artifacts;
size_t max_input = 64 << 10;

uint64_t state = 1;
// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016.
uint64_t draw() {
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return state * 2685821657736338717ull;
}
size_t below(size_t n) { return n == 0 ? 0 : draw() % n; }

void keep_current() {
  uint64_t hash = 1469598103934665603ull;
  for (const char c : current) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  char path[4096];
  std::snprintf(path, sizeof path, "%scrash-%016llx", artifacts.c_str(),
                static_cast<unsigned long long>(hash));
  if (FILE* file = std::fopen(path, "wb")) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
    std::fprintf(stderr, "Test unit written to %s\n", path);
  }
}

void on_signal(int number) {
  std::fprintf(stderr, "driver: signal %d\n", number);
  keep_current();
  _exit(77);
}

void run(const std::string& input) {
  current = input;
  itimerval limit{};
  limit.it_value.tv_sec = kHangSeconds;
  setitimer(ITIMER_VIRTUAL, &limit, nullptr);
  try {
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "driver: an exception that is not the reader's Error: %s\n", error.what());
    keep_current();
    _exit(77);
  }
}

// libFuzzer's format: a line "…" or name="…", with \xAB, \\ and \".
std::vector<std::string> read_dictionary(const std::string& path) {
  std::vector<std::string> words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t from = line.find('"'), to = line.rfind('"');
    if (line.empty() || line[0] == '#' || from == std::string::npos || to <= from) continue;
    std::string word;
    for (size_t i = from + 1; i < to; ++i) {
      if (line[i] == '\\' && i + 3 < to + 1 && line[i + 1] == 'x') {
        word += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        if (line[i] == '\\') ++i;
        word += line[i];
      }
    }
    words.push_back(word);
  }
  return words;
}

std::string mutate(std::string input, const std::vector<std::string>& corpus,
                   const std::vector<std::string>& words) {
  static constexpr uint64_t kNumbers[] = {0,      1,          0x7f,       0x80,       0xff,      0x7fff,
                                          0xffff, 0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, UINT64_MAX};
  for (size_t n = 1 + below(6); n > 0; --n) {
    const size_t at = below(input.size() + 1);
    switch (below(9)) {
      case 0:
        if (!input.empty()) input[below(input.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:
        if (!input.empty()) input[below(input.size())] = static_cast<char>(draw());
        break;
      case 2:
        if (below(4) == 0) input.resize(at);
        break;
      case 3:
        input.erase(at, below(1 + below(64)));
        break;
      case 4:
        input.insert(at, input.substr(below(input.size() + 1), below(1 + below(256))));
        break;
      case 5: {
        const std::string& other = corpus[below(corpus.size())];
        input.insert(at, other.substr(below(other.size() + 1), below(1 + below(512))));
        break;
      }
      case 6:
        if (!words.empty()) input.insert(at, words[below(words.size())]);
        break;
      case 7:
        if (!words.empty()) {
          const std::string& word = words[below(words.size())];
          input.replace(at, std::min(word.size(), input.size() - at), word);
        }
        break;
      default: {
        const uint64_t number = kNumbers[below(std::size(kNumbers))] + (below(4) == 0 ? draw() % 9 - 4 : 0);
        const size_t width = size_t{1} << below(4);
        if (input.size() >= width) std::memcpy(&input[below(input.size() - width + 1)], &number, width);
      }
    }
  }
  if (input.size() > max_input) input.resize(max_input);
  return input;
}

}  // namespace

int main(int count, char** arguments) {
  double seconds = 0;
  std::vector<std::string> corpus, words;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const auto value = [&](const char* name) -> const char* {
      return argument.starts_with(name) ? argument.c_str() + std::strlen(name) : nullptr;
    };
    if (const char* text = value("-max_total_time=")) {
      seconds = std::atof(text);
    } else if (const char* text = value("-seed=")) {
      state = std::strtoull(text, nullptr, 10) * 2 + 1;
    } else if (const char* text = value("-max_len=")) {
      max_input = std::strtoull(text, nullptr, 10);
    } else if (const char* text = value("-artifact_prefix=")) {
      artifacts = text;
    } else if (const char* text = value("-dict=")) {
      words = read_dictionary(text);
    } else if (argument[0] != '-') {
      std::vector<std::filesystem::path> files;
      if (std::filesystem::is_directory(argument))
        for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
          if (entry.is_regular_file()) files.push_back(entry.path());
        }
      else
        files.push_back(argument);
      std::sort(files.begin(), files.end());
      for (const auto& path : files) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
      }
    }
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_current);
  for (const int number : {SIGVTALRM, SIGABRT}) signal(number, on_signal);
  uint64_t runs = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  for (const std::string& input : corpus) run(input), ++runs;
  while (passed() < seconds && !corpus.empty()) {
    run(mutate(corpus[below(corpus.size())], corpus, words));
    ++runs;
  }
  std::fprintf(stderr, "stat::number_of_executed_units: %llu\nstat::average_exec_per_sec: %.0f\n",
               static_cast<unsigned long long>(runs), static_cast<double>(runs) / std::max(0.001, passed()));
  return 0;
}
