// The one place that includes Node-API, with the settings that the whole addon relies on.
#pragma once
#define NAPI_VERSION 9
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#define NODE_ADDON_API_DISABLE_DEPRECATED
#include <napi.h>
