/** What somebody wrote: addresses in it are links, and a few emoji with nothing else are shown large. */
import type { ReactNode } from "react";

// Without the punctuation that ends a sentence rather than the address.
const ADDRESS = /(https?:\/\/[^\s<>"]*[^\s<>".,:;!?'()[\]{}])/iu;
const EMOJI_ALONE = /^(?:(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2})[\p{Emoji_Modifier}\u{fe0f}\u{200d}]*\s*)+$/u;
const MOST_LARGE = 12; // code units: some three of them

export function Words({ text, isCurrent }: { text: string; isCurrent: boolean }): ReactNode {
  if (text.length <= MOST_LARGE && EMOJI_ALONE.test(text)) return <span className="large">{text}</span>;
  return text.split(ADDRESS).map((part, index) =>
    index % 2 === 0 ? (
      part
    ) : (
      <a key={index} href={part} target="_blank" rel="noopener noreferrer" tabIndex={isCurrent ? 0 : -1}>
        {part}
      </a>
    ),
  );
}
