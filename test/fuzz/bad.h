// Checks files that are wrong in a known way: one list bad_TARGET.cc a reader.
#pragma once
#include <string>

// The bytes must end in an error of exercise.h that names the file and holds `words`, within the limits of
// usage.h; or, where not `must_fail`, in none.
void check(const std::string& what, const std::string& bytes, const std::string& words = "",
           bool must_fail = true);
inline bool every_error_names_a_byte = false;

// Prints the sum; the exit status, 1 where anything failed.
int finish();

std::string repeat(const std::string& what, size_t n);
