# The commands inside are plain cargo; this only picks the machine's own musl target
# and fetches it where rustup is told not to do so by itself.

MUSL := $(shell uname -m | sed 's/^arm64$$/aarch64/;s/^i[3-6]86$$/i686/')-unknown-linux-musl
# Without rustup and without a musl target: the compiler's own, also linked statically.
# Without a compiler (sudo make install): what was built before.
TARGET ?= $(shell command -v rustup >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1 || \
	test -d "$$(rustc --print target-libdir --target $(MUSL) 2>/dev/null)" \
	&& echo $(MUSL) || rustc -vV | sed -n 's/^host: //p')
BIN = $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release/launch
PREFIX ?= /usr/local
SKIPS = $(CURDIR)/target/skips

all: build

# zstd is C: another machine's compiler is needed for it (Debian: gcc-aarch64-linux-gnu).
ifeq ($(TARGET)-$(shell uname -m),aarch64-unknown-linux-musl-x86_64)
export CC_aarch64_unknown_linux_musl ?= aarch64-linux-gnu-gcc
endif

target:
	@command -v cargo >/dev/null || { echo 'needs Rust, stable: https://rustup.rs' >&2; exit 1; }
	@test -d "$$(rustc --print target-libdir --target $(TARGET))" || rustup -q target add $(TARGET)

build: target
	cargo build --release --target $(TARGET)

# The init by itself, for images and for machines that boot with it.
init: build
	cp "$$(ls -t $(dir $(BIN))build/launch-*/out/init-target/$(TARGET)/release/init | head -1)" $(or $(CARGO_TARGET_DIR),target)/init

# The host's own root as a throw-away container.
run: target
	cargo run --release --target $(TARGET) -- --mem 200M --ephemeral / sh -c 'ps; id; mount'

# What cannot run here is skipped, with its reason; MUST_RUN=1 makes a skip a failure.
test: target
	@mkdir -p target && rm -f $(SKIPS) && touch $(SKIPS)
	@LAUNCH_SKIPS=$(SKIPS) cargo test --target $(TARGET); status=$$?; \
	echo "skipped: $$(wc -l < $(SKIPS))"; cat $(SKIPS); exit $$status

install:
	test -x $(BIN) || $(MAKE) build
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/launch
	for d in man/man1 man/man8 bash-completion/completions zsh/site-functions \
		fish/vendor_completions.d; do install -d $(DESTDIR)$(PREFIX)/share/$$d; done
	$(BIN) man > $(DESTDIR)$(PREFIX)/share/man/man1/launch.1
	install -m 644 docs/init.8 $(DESTDIR)$(PREFIX)/share/man/man8/launch-init.8
	$(BIN) completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/launch
	$(BIN) completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_launch
	$(BIN) completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/launch.fish

bench: target
	benches/launch

.PHONY: all target build init run test install bench
