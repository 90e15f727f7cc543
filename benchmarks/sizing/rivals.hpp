// Laws that others have published, written from their descriptions for the pool of this library.
#pragma once

#include <heddle/sizing/law.hpp>
#include <memory>

namespace bench {

// Hill climbing of .NET's thread pool: the size is swung in a wave of four samples, and moved by
// how much of that wave is found in the throughput. Samples take 10 to 200 ms. Beside it, every 500
// ms, a gate adds a worker when work waits and none has begun for half a second. Constants as
// published. Sources: J. Hellerstein, V. Morrison, E. Eilebrecht, Applying Control Theory in the
// Real World: Experience With Building a Controller for the .NET Thread Pool, SIGMETRICS
// Performance Evaluation Review, 2010; the settings of .NET's runtime.
std::unique_ptr<heddle::sizing::law> make_dotnet_law();

// Netflix's Gradient2 limit: follows the ratio of the long-term to the present task time, and adds
// a constant. Defaults as published: from 20, within 20 to 200, smoothing 0.2, tolerance 1.5. A
// sample is the mean task time of a window of 100 ms. Source: concurrency-limits, Netflix.
std::unique_ptr<heddle::sizing::law> make_gradient2_law();

// Additive increase, multiplicative decrease: one more worker each 100 ms while all are busy, a
// tenth less when tasks take longer than twice the shortest mean time seen. Sources: D. Chiu, R.
// Jain, Analysis of the Increase and Decrease Algorithms for Congestion Avoidance, 1989; the factor
// 0.9 and the start from 20 are those of AIMDLimit in concurrency-limits, Netflix.
std::unique_ptr<heddle::sizing::law> make_aimd_law();

}  // namespace bench
