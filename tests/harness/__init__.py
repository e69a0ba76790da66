"""What tests, torture and the soak share: runtimes, programs, waiting, and a look inside."""
