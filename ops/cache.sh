# Sourced: sets weir_cache, where what is downloaded or slow to build is kept between builds, outside the checkout.
weir_cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir
mkdir -p "$weir_cache"
