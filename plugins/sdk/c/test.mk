# `make test` for a plugin: compiles it natively, with its tests, and runs them. A Makefile says
#
#     SDK = wasmill-sdk
#     include $(SDK)/test.mk
#
# and, where they differ, SOURCES, INCLUDE and FLAGS as in plugin.toml.
CC ?= cc
SOURCES ?= $(wildcard *.c)
INCLUDE ?=
FLAGS ?=
TESTS ?= $(wildcard test/*.c)
# Finds what a test alone does not; empty where the compiler has none.
SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all
BUILD ?= build

SDK_SOURCES = $(wildcard $(SDK)/src/*.c $(SDK)/testing/*.c) $(SDK)/vendor/yyjson/yyjson.c
SDK_HEADERS = $(wildcard $(SDK)/*.h $(SDK)/src/*.h $(SDK)/testing/*.h *.h)
# The component's exports need a WebAssembly compiler; the tests call the plugin directly.
TEST_SOURCES = $(TESTS) $(SOURCES) $(filter-out %/exports.c,$(SDK_SOURCES))

.PHONY: test clean
test: $(BUILD)/test
	$(BUILD)/test

$(BUILD)/test: $(TEST_SOURCES) $(SDK_HEADERS)
	@mkdir -p $(BUILD)
	$(CC) -std=c11 -g -O1 -Wall -Wextra $(SANITIZE) -I$(SDK) -I. $(addprefix -I,$(INCLUDE)) $(FLAGS) -o $@ $(TEST_SOURCES) -lm

clean:
	rm -rf $(BUILD)
