#include "api/text.h"

#include <gtest/gtest.h>

namespace pit::api {
namespace {

TEST(Text, ShortensByCodePoints) {
  EXPECT_EQ(shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(shorten("abcdefg", 6), "abc...");
  EXPECT_EQ(shorten("\xC3\xA4\xC3\xB6\xC3\xBC\xC3\xA4\xC3\xB6", 4), "\xC3\xA4...");
  EXPECT_EQ(shorten("abcdef", 2), "..");
  EXPECT_EQ(width_of("\xC3\xA4\xC3\xB6"), 2u);
}

TEST(Text, WrapsAtSpaces) {
  EXPECT_EQ(wrap("one two three", 0, 2, 8), "one two\n  three");
  EXPECT_EQ(wrap("one", 7, 2, 8), "one") << "a word that fits nowhere stays where it is";
  EXPECT_EQ(wrap("unbreakable word", 0, 0, 4), "unbreakable\nword");
  EXPECT_EQ(wrap("", 0, 0), "");
}

TEST(Text, TableAlignsAndLimits) {
  Table t({false, true}, {5, 0});
  t.add({"name", "n"});
  t.rule();
  t.add({"something", "12"});
  EXPECT_EQ(t.print(), "name    n\n---------\nso...  12\n");
}

TEST(Text, Units) {
  EXPECT_EQ(seconds_text(0.00001234), "12.3 us");
  EXPECT_EQ(seconds_text(0.01234), "12.34 ms");
  EXPECT_EQ(seconds_text(2.5), "2.50 s");
  EXPECT_EQ(bytes_text(85.2e6), "85.2 MB");
}

}  // namespace
}  // namespace pit::api
