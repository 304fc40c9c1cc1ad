// Everything of PIT's public C++ interface.
#pragma once

#include "pit/cancel.h"
#include "pit/contraction.h"
#include "pit/error.h"
#include "pit/log.h"
#include "pit/model.h"
#include "pit/poison.h"
#include "pit/tensor.h"
#include "pit/tune.h"
