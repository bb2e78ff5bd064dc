# `make test` for a plugin: compiles it natively, with its tests, and runs them. A Makefile says
#
#     SDK = wasmill-sdk
#     include $(SDK)/test.mk
#
# and, where they differ, SOURCES, LIBRARIES, INCLUDE and FLAGS as in plugin.toml.
CC ?= cc
SOURCES ?= $(wildcard *.c)
# Sources of others: compiled without warnings and checks.
LIBRARIES ?=
INCLUDE ?=
FLAGS ?=
TESTS ?= $(wildcard test/*.c)
# Finds what a test alone does not; empty where the compiler has none.
SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all
BUILD ?= build

OWN = -std=c11 -g -O1 -Wall -Wextra $(SANITIZE) -I$(SDK) -I. $(addprefix -I,$(INCLUDE)) $(FLAGS)
HEADERS = $(wildcard $(SDK)/*.h $(SDK)/src/*.h $(SDK)/testing/*.h *.h)
# The component's exports need a WebAssembly compiler; the tests call the plugin directly.
SDK_SOURCES = $(filter-out %/exports.c,$(wildcard $(SDK)/src/*.c $(SDK)/testing/*.c))
VENDORED = $(SDK)/vendor/yyjson/yyjson.c $(LIBRARIES)
OBJECTS = $(addprefix $(BUILD)/,$(notdir $(VENDORED:.c=.o)))
vpath %.c $(sort $(dir $(VENDORED)))

.PHONY: test clean
test: $(BUILD)/test
	$(BUILD)/test

$(BUILD)/test: $(TESTS) $(SOURCES) $(SDK_SOURCES) $(HEADERS) $(OBJECTS)
	$(CC) $(OWN) -o $@ $(TESTS) $(SOURCES) $(SDK_SOURCES) $(OBJECTS) -lm

$(OBJECTS): $(BUILD)/%.o: %.c
	@mkdir -p $(BUILD)
	$(CC) -std=c11 -O1 -w -I$(SDK) $(addprefix -I,$(INCLUDE)) $(FLAGS) -c -o $@ $<

clean:
	rm -rf $(BUILD)
