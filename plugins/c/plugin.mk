# `make test` for the plugins of this folder: their own tests, and their test vectors.
SDK = ../../sdk/c
include $(SDK)/test.mk

VECTORS ?= ../../vectors/$(notdir $(CURDIR)).json
.PHONY: vectors
test: vectors
vectors: $(BUILD)/vectors
	$(if $(wildcard $(VECTORS)),$(BUILD)/vectors,@echo "not run, as it is not there:") $(VECTORS)

# The process ends after it: what a test of the table allocates is not freed.
$(BUILD)/vectors: ../vectors.c $(SOURCES) $(SDK_SOURCES) $(HEADERS) $(OBJECTS)
	$(CC) -std=c11 -O1 -w -I$(SDK) -I. $(addprefix -I,$(INCLUDE)) $(FLAGS) -o $@ ../vectors.c $(SOURCES) $(SDK_SOURCES) $(OBJECTS) -lm
