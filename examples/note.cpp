// SPDX-License-Identifier: Apache-2.0
#include "note.hpp"

#include "file_memory.hpp"
#include "replies.hpp"

#include <joinery/text_diff.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

namespace {

std::string joined(app::words w) {
    std::string out;
    for (const auto& word : w) out += (out.empty() ? "" : " ") + word;
    return out;
}

// Throws command_error with the place if the bytes are not UTF-8.
std::u32string decoded(const std::string& bytes, const std::string& what) {
    std::size_t bad = 0;
    auto text = joinery::decode_utf8(bytes, &bad);
    if (!text) {
        const auto line = 1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
        throw app::command_error(what + " is not valid UTF-8: byte " + std::to_string(bad + 1) + ", in line " +
                                 std::to_string(line) + "; nothing was changed");
    }
    return std::move(*text);
}

class note_book {
public:
    note_book(joinery::node& node, const std::string& data)
        : notes_(node.open<notes>("notes")), files_(data.empty() ? "" : data + ".files") {}

    void create(const std::string& title, std::ostream& out) {
        decoded(title, "the title");
        const std::string id = fresh_id();
        notes_.write([&](notes& all, joinery::transaction& tx) { all.at(tx, id)->title.set(tx, title); });
        out << id << '\n';
    }

    void list(std::ostream& out) const {
        const auto lines = notes_.read([](const notes& all) {
            std::set<std::pair<std::string, std::string>> sorted;
            for (const auto& [id, n] : all) {
                std::string tags;
                for (const auto& t : std::set<std::string>(n.tags.begin(), n.tags.end())) tags += " #" + t;
                const std::string title = n.title.get().value_or("(untitled)");
                std::string line = id;
                line.append("  ").append(title).append(tags).append("  ").append(std::to_string(n.body.size()));
                sorted.emplace(title, line.append(" characters"));
            }
            return sorted;
        });
        if (lines.empty()) out << "no notes\n";
        for (const auto& [title, line] : lines) out << line << '\n';
    }

    void show(const std::string& word, std::ostream& out) const {
        struct copy {
            std::vector<std::string> titles;
            std::set<std::string> tags;
            std::string body;
        };
        const std::string id = find(word);
        const auto n = notes_.read([&](const notes& all) {
            const note* there = all.find(id);
            if (!there) throw gone(id);
            return copy{there->title.siblings(), {there->tags.begin(), there->tags.end()}, there->body.str()};
        });
        out << (n.titles.empty() ? "(untitled)" : n.titles[0]);
        for (std::size_t i = 1; i < n.titles.size(); ++i)
            out << (i == 1 ? " (set at the same time: " : ", ") << n.titles[i];
        out << (n.titles.size() > 1 ? ")" : "");
        for (const auto& t : n.tags) out << " #" << t;
        out << '\n' << n.body;
        if (!n.body.empty() && n.body.back() != '\n') out << '\n';
    }

    void retitle(const std::string& word, const std::string& title) {
        decoded(title, "the title");
        change(word, [&](note& n, joinery::transaction& tx) { n.title.set(tx, title); });
    }
    void append(const std::string& word, const std::string& line) {
        decoded(line, "the text");
        change(word, [&](note& n, joinery::transaction& tx) { n.body.insert(tx, n.body.size(), line + '\n'); });
    }
    void insert(const std::string& word, std::size_t position, const std::string& text) {
        decoded(text, "the text");
        change(word, [&](note& n, joinery::transaction& tx) {
            if (position > n.body.size())
                throw app::command_error("the note has " + std::to_string(n.body.size()) + " characters");
            n.body.insert(tx, position, text);
        });
    }
    void erase(const std::string& word, std::size_t position, std::size_t count) {
        change(word, [&](note& n, joinery::transaction& tx) {
            if (position > n.body.size() || count > n.body.size() - position)
                throw app::command_error("the note has " + std::to_string(n.body.size()) + " characters");
            n.body.erase(tx, position, count);
        });
    }
    void tag(const std::string& word, const std::string& tag) {
        decoded(tag, "the tag");
        change(word, [&](note& n, joinery::transaction& tx) { n.tags.add(tx, tag); });
    }
    void untag(const std::string& word, const std::string& tag) {
        change(word, [&](note& n, joinery::transaction& tx) {
            if (!n.tags.contains(tag)) throw app::command_error("the note has no tag " + tag);
            n.tags.remove(tx, tag);
        });
    }
    void remove(const std::string& word) {
        const std::string id = find(word);
        notes_.write([&](notes& all, joinery::transaction& tx) { all.erase(tx, id); });
    }

    void import_file(const std::string& path, const std::string& word, std::ostream& out);
    void export_file(const std::string& word, const std::string& path, bool force, std::ostream& out);

    joinery::leader<notes>& leader() { return notes_; }

private:
    joinery::leader<notes> notes_;
    file_memory files_;

    static app::command_error gone(const std::string& id) {
        return app::command_error("the note " + id + " has been removed");
    }

    std::string fresh_id() const { return app::to_word(joinery::replica_id::random().value()).substr(4); }

    // The id that begins with this word.
    std::string find(const std::string& word) const {
        const auto ids = notes_.read([&](const notes& all) {
            std::vector<std::string> found;
            if (all.contains(word)) return std::vector{word};
            for (const auto& [id, n] : all)
                if (!word.empty() && id.starts_with(word)) found.push_back(id);
            return found;
        });
        if (ids.empty()) throw app::command_error("there is no note " + (word.empty() ? "with an empty id" : word));
        if (ids.size() > 1) throw app::command_error("several notes begin with " + word + ": give more of the id");
        return ids[0];
    }

    template <class F> void change(const std::string& word, F&& f) {
        const std::string id = find(word);
        notes_.write([&](notes& all, joinery::transaction& tx) {
            if (!all.contains(id)) throw gone(id);
            auto n = all.at(tx, id);
            f(*n, tx);
        });
    }

    // The note that a file belongs to: the one it was imported to or exported from here, else the only one
    // that was imported from a file of this name. Empty: none.
    std::string note_of(const std::string& path, const std::string& name) const {
        const auto known = files_.find(path);
        return notes_.read([&](const notes& all) {
            if (known && all.contains(known->note)) return known->note;
            std::string found;
            for (const auto& [id, n] : all) {
                if (n.file.get() != name) continue;
                if (!found.empty())
                    throw app::command_error("several notes were imported from a file " + name +
                                             ": say which (import FILE ID), or import FILE new");
                found = id;
            }
            return found;
        });
    }

    std::u32string body_of(const std::string& id) const {
        return decoded(notes_.read([&](const notes& all) {
            const note* n = all.find(id);
            return n ? n->body.str() : std::string();
        }),
                       "the note");
    }
};

void note_book::import_file(const std::string& path, const std::string& word, std::ostream& out) {
    const std::string content = read_file(path);
    const std::u32string wanted = decoded(content, '\'' + path + '\'');
    const std::string name = std::filesystem::path(path).filename().string();
    std::string id = word == "new" ? "" : word.empty() ? note_of(path, name) : find(word);
    const bool fresh = id.empty();
    if (fresh) id = fresh_id();

    // What the file's owner changed is the difference to what the file had when it was last in step. If that
    // is not known, it is the difference to the note.
    std::optional<std::u32string> base;
    if (const auto known = files_.find(path); known && known->note == id) base = decoded(known->text, "the memory");
    auto edits_of = [&](const std::u32string& current) {
        return base ? joinery::carry_over(joinery::text_diff(*base, wanted), *base, current)
                    : joinery::text_diff(current, wanted);
    };
    const std::u32string current = body_of(id);
    auto edits = edits_of(current); // outside the write, which holds up everybody else
    const std::string expected = joinery::encode_utf8(current);

    notes_.write([&](notes& all, joinery::transaction& tx) {
        if (!fresh && !all.contains(id)) throw gone(id);
        auto n = all.at(tx, id);
        if (fresh) n->title.set(tx, name);
        if (n->file.get() != name) n->file.set(tx, name);
        if (const auto now = n->body.str(); now != expected) edits = edits_of(decoded(now, "the note"));
        n->body.apply(tx, edits);
    });
    files_.remember(path, {id, content});
    std::size_t added = 0, erased = 0;
    for (const auto& e : edits) added += e.inserted.size(), erased += e.erased;
    out << id << ": " << edits.size() << (edits.size() == 1 ? " edit, " : " edits, ") << added << " characters added, "
        << erased << " erased\n";
}

void note_book::export_file(const std::string& word, const std::string& path, bool force, std::ostream& out) {
    const std::string id = find(word);
    const std::string body = joinery::encode_utf8(body_of(id));
    if (!force && std::filesystem::exists(path)) {
        const std::string there = read_file(path);
        const auto known = files_.find(path);
        if (there != body && !(known && known->note == id && known->text == there))
            throw app::command_error('\'' + path + "' has changes that are not in the note: import it first, or " +
                                     "export with `force` to lose them");
    }
    write_file(path, body);
    files_.remember(path, {id, body});
    out << id << ": " << body.size() << " bytes to " << path << '\n';
}

} // namespace

std::vector<app::command> note_commands(joinery::node& node, const std::string& data) {
    auto book = std::make_shared<note_book>(node, data);
    constexpr std::size_t many = 10'000;
    using app::words;
    std::vector<app::command> all{
        {"new", "TITLE", "a new note; its id", 1, many,
         [=](words w, std::ostream& out) { book->create(joined(w), out); }},
        {"list", "", "all notes", 0, 0, [=](words, std::ostream& out) { book->list(out); }},
        {"show", "ID", "one note; the first digits of an id are enough", 1, 1,
         [=](words w, std::ostream& out) { book->show(w[0], out); }},
        {"title", "ID TITLE", "give it another title", 2, many,
         [=](words w, std::ostream&) { book->retitle(w[0], joined(w.subspan(1))); }},
        {"append", "ID TEXT", "add a line at the end", 2, many,
         [=](words w, std::ostream&) { book->append(w[0], joined(w.subspan(1))); }},
        {"insert", "ID POSITION TEXT", "insert before a character, counted from 0", 3, many,
         [=](words w, std::ostream&) {
             book->insert(w[0], app::to_number(w[1], "POSITION", 0), joined(w.subspan(2)));
         }},
        {"delete", "ID POSITION COUNT", "delete characters", 3, 3,
         [=](words w, std::ostream&) {
             book->erase(w[0], app::to_number(w[1], "POSITION", 0), app::to_number(w[2], "COUNT", 1));
         }},
        {"tag", "ID TAG", "add a tag", 2, 2, [=](words w, std::ostream&) { book->tag(w[0], w[1]); }},
        {"untag", "ID TAG", "take it away", 2, 2, [=](words w, std::ostream&) { book->untag(w[0], w[1]); }},
        {"remove", "ID", "remove a note", 1, 1, [=](words w, std::ostream&) { book->remove(w[0]); }},
        {"import", "FILE [ID|new]", "bring the changes of a text file into its note, or make one of it", 1, 2,
         [=](words w, std::ostream& out) { book->import_file(w[0], w.size() > 1 ? w[1] : "", out); }},
        {"export", "ID FILE [force]", "write it to a file, to be edited and imported again", 2, 3,
         [=](words w, std::ostream& out) {
             if (w.size() == 3 && w[2] != "force") throw app::command_error("after FILE only `force` may follow");
             book->export_file(w[0], w[1], w.size() == 3, out);
         }},
    };
    app::add_state_commands(all, book->leader());
    return all;
}
