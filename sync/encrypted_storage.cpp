// SPDX-License-Identifier: Apache-2.0
#include <joinery/encrypted_storage.hpp>

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

// The first collection of the inner storage is the list: a snapshot that says how the key is had and, encrypted, what
// the snapshots of all collections end with; and a record for each that was stored since. Invariants:
// 1. What is appended to the inner storage rests on everything before it: if a record is lost, so are those behind it.
// 2. The record in the list that names a new snapshot is stored together with it, in one step of the inner storage.

namespace joinery {

namespace {

using bytes = std::vector<std::byte>;
using byte_span = std::span<const std::byte>;

constexpr std::size_t nonce_size = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_size = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t key_size = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t id_size = 16, salt_size = crypto_pwhash_argon2id_SALTBYTES;
static_assert(key_size == storage_key::size && tag_size == 16 && salt_size == 16);

constexpr std::array magic{std::byte{'j'}, std::byte{'y'}, std::byte{'e'}};
constexpr std::byte format{1};
constexpr std::size_t head_size = magic.size() + 2 + id_size + salt_size + 16;
constexpr std::size_t wrapped_size = nonce_size + key_size + tag_size;
constexpr std::uint64_t list_fingerprint = 0x6a6f'696e'6531'0001u;
constexpr std::uint64_t most_memory = std::uint64_t{4} << 30, most_passes = 64; // whatever a file asks for
constexpr std::size_t most_list_records = 256;

enum class purpose : std::uint8_t { wrap, list, list_record, name, snapshot, record };

using tag = std::array<std::byte, tag_size>;

tag tag_of(byte_span sealed) {
    tag t{};
    if (sealed.size() >= tag_size) std::copy_n(sealed.end() - tag_size, tag_size, t.begin());
    return t;
}

const unsigned char* raw(byte_span b) { return reinterpret_cast<const unsigned char*>(b.data()); }
unsigned char* raw(bytes& b) { return reinterpret_cast<unsigned char*>(b.data()); }

void put(bytes& to, std::uint64_t v, unsigned n) {
    for (unsigned i = 0; i < n; ++i) to.push_back(static_cast<std::byte>(v >> (8 * i)));
}
void put(bytes& to, byte_span more) { to.insert(to.end(), more.begin(), more.end()); }

/// What cannot be read any further is noticed by `good`.
class reader {
public:
    explicit reader(byte_span in) : in_(in) {}
    byte_span take(std::size_t n) {
        if (n > in_.size()) {
            good_ = false;
            in_ = {};
            return {};
        }
        const auto front = in_.first(n);
        in_ = in_.subspan(n);
        return front;
    }
    std::uint64_t number(unsigned n) {
        std::uint64_t v = 0;
        const auto b = take(n);
        for (std::size_t i = 0; i < b.size(); ++i) v |= std::to_integer<std::uint64_t>(b[i]) << (8 * i);
        return v;
    }
    tag a_tag() {
        tag t{};
        const auto b = take(tag_size);
        std::copy(b.begin(), b.end(), t.begin());
        return t;
    }
    bool good() const { return good_; }
    std::size_t left() const { return in_.size(); }

private:
    byte_span in_;
    bool good_ = true;
};

void start_sodium() {
    if (::sodium_init() < 0) throw storage_error("encrypted storage: libsodium cannot be started");
}

bytes random_bytes(std::size_t n) {
    bytes b(n);
    ::randombytes_buf(b.data(), b.size());
    return b;
}

bytes seal(byte_span key, byte_span bound_to, byte_span plain) {
    bytes out(nonce_size + plain.size() + tag_size);
    ::randombytes_buf(out.data(), nonce_size);
    ::crypto_aead_xchacha20poly1305_ietf_encrypt(raw(out) + nonce_size, nullptr, raw(plain), plain.size(),
                                                 raw(bound_to), bound_to.size(), nullptr, raw(out), raw(key));
    return out;
}

std::optional<bytes> unseal(byte_span key, byte_span bound_to, byte_span sealed) {
    if (sealed.size() < nonce_size + tag_size) return std::nullopt;
    bytes out(sealed.size() - nonce_size - tag_size);
    unsigned char none = 0;
    if (::crypto_aead_xchacha20poly1305_ietf_decrypt(out.empty() ? &none : raw(out), nullptr, nullptr,
                                                     raw(sealed) + nonce_size, sealed.size() - nonce_size,
                                                     raw(bound_to), bound_to.size(), raw(sealed), raw(key)) != 0)
        return std::nullopt;
    return out;
}

} // namespace

// ---- keys ----

storage_key::storage_key(byte_span secret, bool passphrase, passphrase_cost cost)
    : secret_(secret.begin(), secret.end()), passphrase_(passphrase), cost_(cost) {
    start_sodium();
}
storage_key::storage_key(const storage_key&) = default;
storage_key& storage_key::operator=(const storage_key& other) {
    if (this == &other) return *this;
    ::sodium_memzero(secret_.data(), secret_.size());
    secret_ = bytes(other.secret_);
    passphrase_ = other.passphrase_;
    cost_ = other.cost_;
    return *this;
}
storage_key::~storage_key() { ::sodium_memzero(secret_.data(), secret_.size()); }

storage_key storage_key::from_bytes(std::span<const std::byte, size> given) { return {given, false, {}}; }

storage_key storage_key::from_passphrase(std::string_view passphrase, passphrase_cost cost) {
    if (passphrase.empty()) throw storage_error("storage key: the passphrase is empty");
    if (cost.passes < crypto_pwhash_argon2id_OPSLIMIT_MIN || cost.passes > most_passes ||
        cost.memory < crypto_pwhash_argon2id_MEMLIMIT_MIN || cost.memory > most_memory)
        throw storage_error("storage key: the cost of the passphrase is not possible");
    return {std::as_bytes(std::span(passphrase)), true, cost};
}

storage_key storage_key::from_file(const std::string& path) {
    struct wiped {
        std::array<std::byte, size + 1> bytes{};
        ~wiped() { ::sodium_memzero(bytes.data(), bytes.size()); }
    } wiped_content;
    auto& content = wiped_content.bytes;
    const auto fail = [&](std::string_view why) -> storage_error {
        return storage_error(fmt::format("storage key: '{}': {}", path, why));
    };
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) throw fail(std::generic_category().message(errno));
    struct stat status {};
    const bool known = ::fstat(file, &status) == 0;
    ssize_t n = -1;
    if (known && S_ISREG(status.st_mode)) n = ::read(file, content.data(), content.size());
    const int error = errno;
    ::close(file);
    if (known && !S_ISREG(status.st_mode)) throw fail("not a regular file");
    if (n < 0) throw fail(std::generic_category().message(error));
    if (status.st_uid != ::geteuid() && status.st_uid != 0) throw fail("it belongs to another user, who may use it");
    if ((status.st_mode & 077) != 0) throw fail("others may read or write it; make it 0600 or 0400");
    if (n != ssize_t{size}) throw fail(fmt::format("a key is {} bytes, and nothing else is in the file", size));
    return {byte_span(content).first(size), false, {}};
}

// ---- what is written ----

/// Knows the keys of one storage and what its collections end with. Nothing here writes.
class storage_cipher {
public:
    struct place {
        tag last{};                  ///< of the snapshot and the records
        std::optional<tag> snapshot; ///< none was stored yet
    };

    /// Of a new storage.
    storage_cipher(std::string name, const storage_key& key) : name_(std::move(name)) {
        start_sodium();
        id_ = random_bytes(id_size);
        data_key_ = random_bytes(key_size);
        set_key(key);
    }
    /// Of what is stored; its contents, decrypted, are `contents`.
    storage_cipher(std::string name, const stored_node& stored, const storage_key& key,
                   std::vector<encrypted_damage>* damage)
        : name_(std::move(name)), damage_(damage) {
        start_sodium();
        open_list(stored, key);
        open_collections(stored);
        damage_ = nullptr;
    }
    ~storage_cipher() { ::sodium_memzero(data_key_.data(), data_key_.size()); }
    storage_cipher(const storage_cipher&) = delete;
    storage_cipher& operator=(const storage_cipher&) = delete;

    stored_node contents;
    std::map<std::uint32_t, place> places; ///< by the number in the inner storage

    void set_key(const storage_key& key) {
        salt_ = key.passphrase_ ? random_bytes(salt_size) : bytes(salt_size);
        passphrase_ = key.passphrase_;
        cost_ = key.passphrase_ ? key.cost_ : passphrase_cost{0, 0};
        const auto outer = outer_key(key);
        wrapped_ = seal(outer, head(), data_key_);
        wipe(outer);
    }

    bytes sealed_name(std::uint32_t number, std::string_view name, std::uint64_t fingerprint) const {
        bytes plain;
        put(plain, fingerprint, 8);
        put(plain, std::as_bytes(std::span(name)));
        return seal(data_key_, bound(purpose::name, number, {}), plain);
    }
    bytes sealed_record(std::uint32_t number, byte_span record) const {
        return seal(data_key_, bound(purpose::record, number, places.at(number).last), record);
    }
    bytes sealed_snapshot(std::uint32_t number, byte_span snapshot) const {
        return seal(data_key_, bound(purpose::snapshot, number, {}), snapshot);
    }

    /// The whole list.
    bytes sealed_list(std::optional<replica_id> id, const std::map<std::uint32_t, place>& with) const {
        bytes plain;
        put(plain, id ? 1 : 0, 1);
        put(plain, id ? id->value() : 0, 8);
        for (const auto& [number, p] : with) {
            if (!p.snapshot) continue;
            put(plain, number, 4);
            put(plain, *p.snapshot);
        }
        bytes out = head();
        put(out, wrapped_);
        put(out, seal(data_key_, bound(purpose::list, 0, tag_of(wrapped_)), plain));
        return out;
    }
    void list_stored(byte_span list) {
        list_last_ = tag_of(list);
        list_records_ = 0;
    }
    /// True if the last line is of a snapshot that was not stored.
    bool unfinished() const { return unfinished_; }
    bool list_is_long() const { return list_records_ >= most_list_records; }
    /// A line of it: the collection has this snapshot, and had that one.
    bytes sealed_line(std::uint32_t number, const tag& now, const std::optional<tag>& was) const {
        bytes plain;
        put(plain, number, 4);
        put(plain, now);
        put(plain, was.value_or(tag{}));
        return seal(data_key_, bound(purpose::list_record, 0, list_last_), plain);
    }
    void line_appended(byte_span line) {
        list_last_ = tag_of(line);
        ++list_records_;
    }

private:
    std::string name_;
    std::vector<encrypted_damage>* damage_ = nullptr;
    bytes id_, salt_, data_key_, wrapped_;
    bool passphrase_ = false;
    passphrase_cost cost_;
    tag list_last_{};
    std::size_t list_records_ = 0;
    std::optional<std::pair<std::uint32_t, tag>> before_; // what the last line says that there was
    bool unfinished_ = false;

    static void wipe(const bytes& b) { ::sodium_memzero(const_cast<std::byte*>(b.data()), b.size()); }

    [[noreturn]] void fail(std::string_view why) const { throw storage_error(fmt::format("{}: {}", name_, why)); }

    bytes head() const {
        bytes h(magic.begin(), magic.end());
        h.push_back(format);
        put(h, passphrase_ ? 1 : 0, 1);
        put(h, id_);
        put(h, salt_);
        put(h, cost_.passes, 8);
        put(h, cost_.memory, 8);
        return h;
    }

    bytes bound(purpose what, std::uint32_t number, const tag& before) const {
        bytes b(magic.begin(), magic.end());
        put(b, static_cast<std::uint8_t>(what), 1);
        put(b, id_);
        put(b, number, 4);
        put(b, before);
        return b;
    }

    bytes outer_key(const storage_key& key) const {
        if (!key.passphrase_) return key.secret_;
        bytes out(key_size);
        if (::crypto_pwhash(raw(out), out.size(), reinterpret_cast<const char*>(key.secret_.data()), key.secret_.size(),
                            raw(salt_), cost_.passes, static_cast<std::size_t>(cost_.memory),
                            crypto_pwhash_ALG_ARGON2ID13) != 0)
            fail(fmt::format("no memory for the passphrase ({} bytes)", cost_.memory));
        return out;
    }

    void open_list(const stored_node& stored, const storage_key& key) {
        if (!is_encrypted(stored)) fail("it is not encrypted");
        const auto& list = stored.collections.front();
        if (list.name != encrypted_name) fail("the list of an encrypted storage is not its first collection");
        reader in(list.snapshot);
        const auto start = in.take(magic.size());
        const auto version = in.number(1);
        if (!in.good() || !std::equal(start.begin(), start.end(), magic.begin()))
            fail("its encryption header is damaged");
        if (version != std::to_integer<std::uint64_t>(format))
            fail(fmt::format("encrypted by a newer version (format {})", version));
        passphrase_ = in.number(1) != 0;
        const auto copy = [](byte_span b) { return bytes(b.begin(), b.end()); };
        id_ = copy(in.take(id_size));
        salt_ = copy(in.take(salt_size));
        cost_.passes = in.number(8);
        cost_.memory = in.number(8);
        wrapped_ = copy(in.take(wrapped_size));
        const auto sealed = in.take(in.left());
        if (!in.good() || !std::equal(list.snapshot.begin(), list.snapshot.begin() + head_size, head().begin()))
            fail("its encryption header is damaged");
        if (passphrase_ != key.passphrase_)
            fail(passphrase_ ? "it is encrypted with a passphrase"
                             : "it is encrypted with a key, not with a passphrase");
        if (passphrase_ && (cost_.passes < crypto_pwhash_argon2id_OPSLIMIT_MIN || cost_.passes > most_passes ||
                            cost_.memory < crypto_pwhash_argon2id_MEMLIMIT_MIN || cost_.memory > most_memory))
            fail("its encryption header is damaged");
        const auto outer = outer_key(key);
        auto inner = unseal(outer, head(), wrapped_);
        wipe(outer);
        if (!inner) fail("the key is wrong, or its encryption header was changed");
        data_key_ = std::move(*inner);
        read_list(stored, sealed);
    }

    void read_list(const stored_node& stored, byte_span sealed) {
        const auto plain = unseal(data_key_, bound(purpose::list, 0, tag_of(wrapped_)), sealed);
        if (!plain) return list_is_damaged(0);
        reader in(*plain);
        const bool has_id = in.number(1) != 0;
        const replica_id id(in.number(8));
        while (in.left() > 0) {
            const auto number = static_cast<std::uint32_t>(in.number(4));
            places[number].snapshot = in.a_tag();
        }
        if (!in.good()) return list_is_damaged(0);
        if (stored.id.has_value() != has_id || (has_id && stored.id != id)) {
            if (!damage_) fail("its id was changed");
            damage_->push_back({npos, false, 0, "the id was changed"});
        }
        list_stored(sealed);
        for (const auto& line : stored.collections.front().records) {
            const auto read = unseal(data_key_, bound(purpose::list_record, 0, list_last_), line);
            if (!read || read->size() != 4 + 2 * tag_size) return list_is_damaged(list_records_ + 1);
            reader r(*read);
            const auto number = static_cast<std::uint32_t>(r.number(4));
            const auto now = r.a_tag();
            places[number].snapshot = now == tag{} ? std::nullopt : std::optional(now);
            before_ = {number, r.a_tag()};
            line_appended(line);
        }
    }

    static constexpr auto npos = static_cast<std::size_t>(-1);

    void list_is_damaged(std::size_t line) {
        if (!damage_) fail(fmt::format("line {} of its list of snapshots is not as it was written", line));
        damage_->push_back({npos, false, line, "the list of snapshots is damaged"});
    }

    void open_collections(const stored_node& stored) {
        contents.id = stored.id;
        contents.clean = stored.clean;
        contents.copy = stored.copy;
        for (std::uint32_t number = 1; number < stored.collections.size(); ++number) {
            const auto& from = stored.collections[number];
            const auto name = unseal(data_key_, bound(purpose::name, number, {}), std::as_bytes(std::span(from.name)));
            if (!name || name->size() < 8) {
                if (!damage_) fail(fmt::format("the name of collection {} is not as it was written", number));
                damage_->push_back({npos, false, 0, fmt::format("collection {} cannot be read", number)});
                continue;
            }
            auto& to = contents.collections.emplace_back();
            reader in(*name);
            to.fingerprint = in.number(8);
            const auto text = in.take(in.left());
            to.name.assign(reinterpret_cast<const char*>(text.data()), text.size());
            open_collection(number, from, to);
        }
        for (const auto& [number, p] : places)
            if (number == 0 || number >= stored.collections.size()) {
                if (!damage_) fail(fmt::format("collection {} is missing", number));
                damage_->push_back({npos, false, 0, fmt::format("collection {} is missing", number)});
            }
    }

    void open_collection(std::uint32_t number, const stored_collection& from, stored_collection& to) {
        auto& at = places[number];
        const auto bad = [&](bool snapshot, std::size_t record, std::string what) {
            if (!damage_) fail(fmt::format("{} of '{}'", what, to.name));
            damage_->push_back({contents.collections.size() - 1, snapshot, record, std::move(what)});
        };
        std::optional<tag> there;
        if (!from.snapshot.empty()) there = tag_of(from.snapshot);
        // What was to be stored together with the last line may not have been.
        const bool not_yet = before_ && before_->first == number && there.value_or(tag{}) == before_->second;
        if (there != at.snapshot && !not_yet) {
            bad(true, 0, there ? "another snapshot was expected" : "the snapshot is missing");
            if (!there) return;
        }
        unfinished_ = unfinished_ || there != at.snapshot;
        at.snapshot = there;
        if (there) {
            auto plain = unseal(data_key_, bound(purpose::snapshot, number, {}), from.snapshot);
            if (!plain) return bad(true, 0, "the snapshot is not as it was written");
            to.snapshot = std::move(*plain);
            at.last = *there;
        }
        for (const auto& sealed : from.records) {
            auto plain = unseal(data_key_, bound(purpose::record, number, at.last), sealed);
            if (!plain)
                return bad(false, to.records.size(),
                           fmt::format("record {} is not as it was written", to.records.size()));
            at.last = tag_of(sealed);
            to.records.push_back(std::move(*plain));
        }
    }
};

bool is_encrypted(const stored_node& stored) {
    return std::any_of(stored.collections.begin(), stored.collections.end(),
                       [](const auto& c) { return c.name == encrypted_name; });
}

stored_node decrypted(const stored_node& stored, const storage_key& key, std::vector<encrypted_damage>* damage) {
    return std::move(storage_cipher("encrypted storage", stored, key, damage).contents);
}

// ---- the storage ----

namespace {

/// A storage that was created, and nothing else yet.
bool is_new(const stored_node& n) {
    return !n.id && (n.collections.empty() || (n.collections.size() == 1 && n.collections[0].name == encrypted_name &&
                                               n.collections[0].snapshot.empty()));
}

class encrypted final : public storage {
public:
    encrypted(std::unique_ptr<storage> inner, const storage_key& key) : inner_(std::move(inner)), key_(key) {
        if (const auto* found = inner_->found()) open(*found);
    }

    durability level() const override { return inner_->level(); }

    const stored_node* found() const override { return cipher_ && !loaded_ ? &cipher_->contents : nullptr; }
    std::string name() const override { return inner_->name(); }

    stored_node load() override {
        const stored_node was = inner_->load();
        if (!cipher_) open(was);
        if (loaded_) fail("load", "loaded before");
        id_ = was.id;
        list_ = inner_->attach(encrypted_name, list_fingerprint);
        if (is_new(was) || cipher_->unfinished()) store_list();
        loaded_ = true;
        stored_node node = std::move(cipher_->contents);
        cipher_->contents = {};
        for (const auto& c : node.collections) names_.push_back({c.name, c.fingerprint});
        return node;
    }

    void set_id(replica_id id) override { rebase(id, {}); }

    std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
        check_loaded("attach");
        for (std::size_t i = 0; i < names_.size(); ++i) {
            if (names_[i].first != name) continue;
            if (names_[i].second == fingerprint) return static_cast<std::uint32_t>(i);
            fail("attach", fmt::format("collection '{}' is stored with another type", name));
        }
        const auto number = static_cast<std::uint32_t>(names_.size() + 1);
        const auto sealed = cipher_->sealed_name(number, name, fingerprint);
        names_.reserve(number);
        cipher_->places.try_emplace(number);
        const std::string_view text(reinterpret_cast<const char*>(sealed.data()), sealed.size());
        if (inner_->attach(text, 0) != number) fail("attach", "collections are numbered in another way");
        names_.emplace_back(name, fingerprint);
        return number - 1;
    }

    void append(std::uint32_t collection, byte_span record) override {
        const auto number = checked("append", collection);
        const auto sealed = cipher_->sealed_record(number, record);
        inner_->append(number, sealed);
        cipher_->places.at(number).last = tag_of(sealed);
    }

    void sync() override {
        check_loaded("sync");
        inner_->sync();
    }
    void harden() override {
        check_loaded("harden");
        inner_->harden();
    }

    void compact(std::uint32_t collection, byte_span snapshot) override {
        const auto number = checked("compact", collection);
        if (cipher_->list_is_long()) store_list();
        const auto sealed = cipher_->sealed_snapshot(number, snapshot);
        auto& at = cipher_->places.at(number);
        const auto now = tag_of(sealed);
        append_line(number, now, at.snapshot);
        try {
            inner_->compact(number, sealed);
        } catch (...) {
            // The line is not stored, either, and would be with the next records.
            try {
                append_line(number, at.snapshot.value_or(tag{}), now);
            } catch (const storage_error&) {
                // Then nothing else is stored.
            }
            throw;
        }
        at = {now, now};
    }

    void rebase(replica_id id, std::span<const std::pair<std::uint32_t, bytes>> snapshots) override {
        check_loaded("rebase");
        std::vector<std::pair<std::uint32_t, bytes>> all;
        all.reserve(snapshots.size() + 1);
        auto places = cipher_->places;
        for (const auto& [collection, snapshot] : snapshots) {
            const auto number = checked("rebase", collection);
            all.emplace_back(number, cipher_->sealed_snapshot(number, snapshot));
            const auto now = tag_of(all.back().second);
            places[number] = {now, now};
        }
        all.emplace_back(list_, cipher_->sealed_list(id, places));
        inner_->rebase(id, all);
        ++own_.compactions;
        cipher_->places = std::move(places);
        cipher_->list_stored(all.back().second);
        id_ = id;
    }

    void close() override {
        check_loaded("close");
        inner_->close();
    }

    std::unique_ptr<storage_backup> back_up(const std::string& path) override {
        check_loaded("back up");
        return inner_->back_up(path);
    }

    statistics stats() const override {
        auto all = inner_->stats();
        all.appends -= own_.appends;
        all.compactions -= own_.compactions;
        return all;
    }

    void change_key(const storage_key& to) {
        cipher_->set_key(to);
        store_list();
    }

private:
    std::unique_ptr<storage> inner_;
    storage_key key_;
    std::unique_ptr<storage_cipher> cipher_;
    bool loaded_ = false;
    std::uint32_t list_ = 0;
    statistics own_; // of the list
    std::optional<replica_id> id_;
    std::vector<std::pair<std::string, std::uint64_t>> names_; // the inner number is one more

    [[noreturn]] void fail(std::string_view operation, std::string_view why) const {
        throw storage_error(fmt::format("{}: {}: {}", inner_->name(), operation, why));
    }
    void check_loaded(std::string_view operation) const {
        if (!loaded_) fail(operation, "load comes first");
    }
    std::uint32_t checked(std::string_view operation, std::uint32_t collection) const {
        check_loaded(operation);
        if (collection >= names_.size()) fail(operation, fmt::format("no collection {}", collection));
        return collection + 1;
    }

    void open(const stored_node& stored) {
        if (is_new(stored))
            cipher_ = std::make_unique<storage_cipher>(inner_->name(), key_);
        else
            cipher_ = std::make_unique<storage_cipher>(inner_->name(), stored, key_, nullptr);
    }

    void store_list() {
        const auto list = cipher_->sealed_list(id_, cipher_->places);
        inner_->compact(list_, list);
        ++own_.compactions;
        cipher_->list_stored(list);
    }
    void append_line(std::uint32_t number, const tag& now, const std::optional<tag>& was) {
        const auto line = cipher_->sealed_line(number, now, was);
        inner_->append(list_, line);
        ++own_.appends;
        cipher_->line_appended(line);
    }
};

} // namespace

std::unique_ptr<storage> encrypted_storage(std::unique_ptr<storage> inner, const storage_key& key) {
    return std::make_unique<encrypted>(std::move(inner), key);
}

void change_key(std::unique_ptr<storage> inner, const storage_key& from, const storage_key& to) {
    const auto name = inner->name();
    if (const auto* found = inner->found(); found && !found->clean && !found->copy)
        throw storage_error(name + ": change the key: it was not closed; start and close its node first");
    encrypted all(std::move(inner), from);
    all.load();
    all.change_key(to);
    all.close();
}

} // namespace joinery
