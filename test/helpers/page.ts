/** The report's page without what runs in it, and its text. */
export const still = (page: string) => page.replace(/<script.*?<\/script>/gs, '');
export const textOf = (page: string) =>
  still(page)
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');
