# LibTorch's CUDA build as targets and variables, instead of find_package(Torch): LibTorch's own files want every library of
# the CUDA toolkit by CMake's name, and Python's torch brings those libraries along in places that CMake does not know.
# What is needed to compile and link is nvcc with the CUDA runtime; the rest is found by LibTorch itself when it is loaded.
# Reads TORCH_INSTALL_PREFIX; sets TORCH_LIBRARIES and enables CUDA.

# Code for the GPUs since 2018, which are what CUDA 13 still knows, and for later ones what their driver compiles.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90)
endif()
# Which CMake before 3.26 knows for nvcc; kernels need no more.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

message(STATUS "LibTorch with CUDA: ${TORCH_INSTALL_PREFIX}; CUDA ${CUDAToolkit_VERSION}")
if(NOT EXISTS ${TORCH_INSTALL_PREFIX}/include/c10/cuda/impl/cuda_cmake_macros.h)
  message(FATAL_ERROR "${TORCH_INSTALL_PREFIX} has libtorch_cuda.so, but not the headers of a CUDA build")
endif()

# The runtime that LibTorch was built with, and not another beside it.
file(GLOB TORCH_CUDART ${TORCH_INSTALL_PREFIX}/../nvidia/cu*/lib/libcudart.so.* ${TORCH_INSTALL_PREFIX}/lib/libcudart*.so.*)
if(TORCH_CUDART)
  list(GET TORCH_CUDART 0 TORCH_CUDART)
else()
  set(TORCH_CUDART CUDA::cudart)
endif()
message(STATUS "CUDA runtime: ${TORCH_CUDART}")
if(EXISTS ${TORCH_INSTALL_PREFIX}/version.py)
  file(STRINGS ${TORCH_INSTALL_PREFIX}/version.py TORCH_CUDA REGEX "^cuda[ :=]")
  string(REGEX MATCH "['\"]([0-9]+)" _ "${TORCH_CUDA}")
  if(CMAKE_MATCH_1 AND NOT CMAKE_MATCH_1 EQUAL CUDAToolkit_VERSION_MAJOR)
    message(FATAL_ERROR "LibTorch was built with CUDA ${CMAKE_MATCH_1}, and nvcc is of CUDA ${CUDAToolkit_VERSION}; "
      "name a toolkit of CUDA ${CMAKE_MATCH_1} in CUDA_HOME")
  endif()
endif()

add_library(torch INTERFACE)
target_include_directories(torch SYSTEM INTERFACE ${TORCH_INSTALL_PREFIX}/include
  ${TORCH_INSTALL_PREFIX}/include/torch/csrc/api/include ${CUDAToolkit_INCLUDE_DIRS})
target_compile_definitions(torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO USE_C10D_NCCL)
# Nothing here calls libtorch_cuda.so by name from every file, and yet it has to be loaded: its kernels register themselves.
target_link_libraries(torch INTERFACE -Wl,--no-as-needed
  ${TORCH_INSTALL_PREFIX}/lib/libtorch.so ${TORCH_INSTALL_PREFIX}/lib/libtorch_cpu.so ${TORCH_INSTALL_PREFIX}/lib/libc10.so
  ${TORCH_INSTALL_PREFIX}/lib/libtorch_cuda.so ${TORCH_INSTALL_PREFIX}/lib/libc10_cuda.so
  -Wl,--as-needed ${TORCH_CUDART})
set(TORCH_LIBRARIES torch)
