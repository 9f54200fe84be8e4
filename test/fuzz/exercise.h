// What the fuzzers and the lists of bad files do with an input: one file exercise_TARGET.cc a reader.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

// Reads the bytes as a file called `name`, all that there is to read up to a budget. Gives the sentence of
// the first Error with the reader's code, "" where there was none. Any other exception goes through.
std::string exercise(const uint8_t* data, size_t size, const std::string& name);
