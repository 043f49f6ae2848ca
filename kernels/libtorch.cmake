# LibTorch as a small imported target of ours: headscope::torch.
#
# Torch's own package file insists on a CUDA toolkit when the wheel was built for CUDA, injects
# compile flags and needs TORCH_CUDA_ARCH_LIST; none of that is wanted for linking two libraries.
# Looked for in: HEADSCOPE_TORCH_DIR, CMAKE_PREFIX_PATH, and the folder that the set-up script fills.

set(HEADSCOPE_TORCH_DIR "" CACHE PATH "LibTorch root: the folder that holds include/ and lib/")
set(_cache_home "$ENV{HEADSCOPE_CACHE}")
if(NOT _cache_home)
  set(_cache_home "$ENV{HOME}/.cache/headscope")
endif()
file(GLOB _torch_cached "${_cache_home}/venv*/lib/python3*/site-packages/torch")
find_path(TORCH_INCLUDE_DIR ATen/core/Tensor.h
  HINTS ${HEADSCOPE_TORCH_DIR} PATHS ${_torch_cached} PATH_SUFFIXES include NO_CMAKE_FIND_ROOT_PATH)
find_library(TORCH_CPU_LIBRARY torch_cpu
  HINTS ${HEADSCOPE_TORCH_DIR} PATHS ${_torch_cached} PATH_SUFFIXES lib)
find_library(TORCH_C10_LIBRARY c10
  HINTS ${HEADSCOPE_TORCH_DIR} PATHS ${_torch_cached} PATH_SUFFIXES lib)
if(NOT TORCH_INCLUDE_DIR OR NOT TORCH_CPU_LIBRARY OR NOT TORCH_C10_LIBRARY)
  message(FATAL_ERROR "LibTorch not found. Run examples/setup.sh, or give its folder: "
    "-DHEADSCOPE_TORCH_DIR=/path/to/torch or -DCMAKE_PREFIX_PATH=/path/to/libtorch.")
endif()
get_filename_component(_torch_lib_dir ${TORCH_CPU_LIBRARY} DIRECTORY)
get_filename_component(_torch_site ${_torch_lib_dir} DIRECTORY)
get_filename_component(_torch_site ${_torch_site} DIRECTORY)
file(STRINGS ${TORCH_INCLUDE_DIR}/torch/headeronly/version.h _torch_version
  REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9;]" "" _torch_version "${_torch_version}")
list(JOIN _torch_version "." HEADSCOPE_TORCH_VERSION)
message(STATUS "LibTorch ${HEADSCOPE_TORCH_VERSION}: ${_torch_lib_dir}")

add_library(headscope_torch INTERFACE)
set_target_properties(headscope_torch PROPERTIES EXPORT_NAME torch)
target_include_directories(headscope_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIR})
# at::parallel_for is a template that runs on one thread wherever it is compiled without OpenMP. The
# runtime is LibTorch's own copy: both are called libgomp.so.1, and its folder is searched first.
find_package(OpenMP REQUIRED COMPONENTS CXX)
target_link_libraries(headscope_torch INTERFACE ${TORCH_CPU_LIBRARY} ${TORCH_C10_LIBRARY}
  OpenMP::OpenMP_CXX)
# The wheel keeps its CUDA libraries beside itself; libtorch_cpu of the CUDA wheel needs two of them.
file(GLOB _torch_nvidia_dirs "${_torch_site}/nvidia/*/lib" "${_torch_site}/nvidia/*/lib64")
list(APPEND _torch_runtime_dirs ${_torch_lib_dir} ${_torch_nvidia_dirs})
set(CMAKE_BUILD_RPATH ${_torch_runtime_dirs})
set(CMAKE_INSTALL_RPATH ${_torch_runtime_dirs})
foreach(_dir IN LISTS _torch_runtime_dirs)
  target_link_options(headscope_torch INTERFACE "LINKER:-rpath-link,${_dir}")
endforeach()

include(${CMAKE_CURRENT_LIST_DIR}/cuda.cmake)
