# Short names for the commands; each also works without just.

# What must hold before a change is merged.
check:
    .ci/run

# All tests, against real services.
test *args:
    scripts/test.sh {{args}}

# The tests that need no service.
quick *args:
    scripts/test.sh --quick {{args}}

# Count the words of a text, and compare with a recount.
demo:
    scripts/demo.sh

# Kafka, MariaDB and a MongoDB-protocol server for working by hand.
up *names:
    scripts/services.sh up {{names}}

# Stop them.
down:
    scripts/services.sh down

# Wasmill beside a bare loop.
bench *args:
    bench/run.sh {{args}}

fmt:
    cargo fmt --all
    cargo fmt --manifest-path plugins/Cargo.toml --all
    cargo fmt --manifest-path bench/bare/Cargo.toml --all
